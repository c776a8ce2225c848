"""A sweep's files by their content, so that its runs run where its paths do not exist."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from elmo_mf.compression import Compression
from elmo_mf.errors import InputError
from elmo_mf.io import atomic_path
from elmo_mf.io.locks import acquire
from elmo_mf.provenance import file_hash, regular_hash
from elmo_mf.tasks.config import load_task
from elmo_mf.tasks.grid import Run, digest
from elmo_mf.tasks.spec import SweepSpec

MOST_BYTES = 4_000_000_000
"""Of all files of a sweep together: weights, data cut to the sweep's limits, word vectors and texts."""


@dataclass(frozen=True)
class Order:
    """A run without its task's card and without paths of this machine: files are named by their SHA-256."""

    spec: SweepSpec
    task: str
    compression: Compression | None
    seed: int
    identity: dict[str, Any]

    @classmethod
    def of(cls, spec: SweepSpec, run: Run, files: Files) -> Order:
        """Of a spec that `Files` has renamed."""
        compression = None if run.compression is None else _renamed(run.compression, files.name)
        return cls(spec, run.task.name, compression, run.seed, run.identity)

    def unpacked(self, folder: Path) -> tuple[SweepSpec, Run]:
        """With paths of this machine, where the files are in `folder`."""

        def place(name: str) -> str:
            return str(folder / name)

        compression = None if self.compression is None else _renamed(self.compression, place)
        run = Run(load_task(self.task), compression, self.seed, self.identity)
        data = self.spec.data and place(self.spec.data)
        words = {task: place(name) for task, name in _by_task(self.spec).items()}
        options, weights = place(self.spec.options), place(self.spec.weights)
        return replace(self.spec, options=options, weights=weights, glove=words, data=data), run


class Files:
    """The files of a sweep, by name: a file's hash and the end of its path, or `data/<name>/<task>/<file>`.

    Records name weights and data by the ends of their paths, which are therefore those of the machine that sends them.
    """

    def __init__(self, spec: SweepSpec, runs: list[Run], scratch: Path) -> None:
        self.paths: dict[str, Path] = {}
        self._names: dict[str, str] = {}
        words: dict[str, str] = {}
        for run in {run.task.name: run for run in runs}.values():
            self._add_data(spec, run, scratch)
            path = spec.glove_of(run.task.name)
            if path is not None and run.identity["words"] is not None:
                words[run.task.name] = self.name(path)
        options, weights = self.name(spec.options), self.name(spec.weights)
        data = spec.data and f"data/{last_names(spec.data, 1)}"
        self.spec = replace(spec, options=options, weights=weights, glove=words, data=data, compressions=())
        for run in runs:
            if run.compression is not None:
                _renamed(run.compression, self.name)
        size = sum(path.stat().st_size for path in self.paths.values())
        if size > MOST_BYTES:
            raise InputError(
                f"--ray: found {size:,} bytes of weights and data, expected at most {MOST_BYTES:,} to send; "
                "cut the data with limit"
            )

    @property
    def id(self) -> str:
        """Hash of all contents."""
        return digest(self.hashes)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """The SHA-256 of each file, by its name."""
        return {name: file_hash(path) for name, path in self.paths.items()}

    def name(self, path: str) -> str:
        """A file's name in the bundle, to which the file is added."""
        if path not in self._names:
            self._names[path] = f"{file_hash(path)[:16]}/{last_names(path, 2)}"
            self.paths[self._names[path]] = Path(path)
        return self._names[path]

    def _add_data(self, spec: SweepSpec, run: Run, scratch: Path) -> None:
        """The data as cut to the limits: to be cut again, there, changes nothing."""
        if spec.data is None:
            return
        for split, file in run.task.files.items():
            source, limit = spec.data_of(run.task) / file, spec.limit_of(run.task.name, split)
            if limit is not None:
                run.task.format.cut(source, scratch / run.task.name / file, limit)
                source = scratch / run.task.name / file
            self.paths[f"data/{last_names(spec.data, 1)}/{run.task.name}/{file}"] = source


def last_names(path: str, count: int) -> str:
    """The end of a path: its last `count` parts."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - `resolve` would follow links
    return "/".join(Path(absolute).parts[1:][-count:])


def unpack(folder: Path, name: str, content: bytes) -> None:
    """Write a file of a bundle."""
    with atomic_path(folder / name) as temporary:
        temporary.write_bytes(content)


def is_there(folder: Path, name: str, sha256: str) -> bool:
    """Whether a file of a bundle is there, with the right content."""
    try:
        return regular_hash(folder / name, "file of a bundle", "what was sent") == sha256
    except (InputError, OSError):
        return False


def own_folder(path: Path) -> Path:
    """A folder that nobody else can write to, made if there is none.

    Raises:
        InputError: something else is there: a link, another user's folder, or one that others can write to.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise InputError(
            f"{path}: found a link, or a folder that others can write to, expected a folder of this user alone; "
            "remove it or set TMPDIR"
        )
    path.chmod(0o700)
    return path


def clear_unused(folder: Path, days: float = 7) -> None:
    """Remove the bundles in `folder` that nobody holds or has used for `days`."""
    for path in folder.glob("*/.use"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > days * 86_400 and (lock := acquire(path, wait=False)) is not None:
                shutil.rmtree(path.parent, ignore_errors=True)
                lock.release()


def _by_task(spec: SweepSpec) -> dict[str, str]:
    return spec.glove if isinstance(spec.glove, dict) else {}


def _renamed(compression: Compression, name: Callable[[str], str]) -> Compression:
    distill = compression.distill
    return replace(
        compression,
        calibration=compression.calibration and name(compression.calibration),
        gradients=compression.gradients and name(compression.gradients),
        distill=distill and replace(distill, text=name(distill.text)),
    )
