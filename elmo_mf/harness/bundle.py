"""A sweep's files by their content, so that its cells run where its paths do not exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError
from elmo_mf.factorize import Compression
from elmo_mf.harness.grid import Cell, digest
from elmo_mf.harness.spec import SweepSpec
from elmo_mf.harness.task import load_task
from elmo_mf.io import atomic_path
from elmo_mf.provenance import file_hash

MOST_BYTES = 4_000_000_000
"""Of all files of a sweep together: weights, data cut to the sweep's limits, word vectors and texts."""


@dataclass(frozen=True)
class Order:
    """A cell without its task's card and without paths of this machine: files are named by their SHA-256."""

    spec: SweepSpec
    task: str
    compression: Compression | None
    seed: int
    identity: dict[str, Any]

    @classmethod
    def of(cls, spec: SweepSpec, cell: Cell, files: Files) -> Order:
        """Of a spec that `Files` has renamed."""
        compression = None if cell.compression is None else _renamed(cell.compression, files.name)
        return cls(spec, cell.task.name, compression, cell.seed, cell.identity)

    def unpacked(self, folder: Path) -> tuple[SweepSpec, Cell]:
        """With paths of this machine: files are in `folder`, data in `folder/data/<task>`."""

        def place(name: str) -> str:
            return str(folder / name)

        compression = None if self.compression is None else _renamed(self.compression, place)
        cell = Cell(load_task(self.task), compression, self.seed, self.identity)
        data = self.spec.data and place(self.spec.data)
        words = {task: place(name) for task, name in _by_task(self.spec).items()}
        options, weights = place(self.spec.options), place(self.spec.weights)
        return replace(self.spec, options=options, weights=weights, glove=words, data=data), cell


class Files:
    """The files of a sweep, by name: a file's hash and last name, or `data/<task>/<file>`."""

    def __init__(self, spec: SweepSpec, cells: list[Cell], scratch: Path) -> None:
        self.paths: dict[str, Path] = {}
        self._names: dict[str, str] = {}
        words: dict[str, str] = {}
        for cell in {cell.task.name: cell for cell in cells}.values():
            self._add_data(spec, cell, scratch)
            path = spec.glove_of(cell.task.name)
            if path is not None and cell.identity["words"] is not None:
                words[cell.task.name] = self.name(path)
        options, weights = self.name(spec.options), self.name(spec.weights)
        data = spec.data and "data"
        self.spec = replace(spec, options=options, weights=weights, glove=words, data=data, compressions=())
        for cell in cells:
            if cell.compression is not None:
                _renamed(cell.compression, self.name)
        size = sum(path.stat().st_size for path in self.paths.values())
        if size > MOST_BYTES:
            raise InputError(
                f"--ray: found {size:,} bytes of weights and data, expected at most {MOST_BYTES:,} to send; "
                "cut the data with limit"
            )

    @property
    def id(self) -> str:
        """Hash of all contents."""
        return digest({name: file_hash(path) for name, path in self.paths.items()})

    def name(self, path: str) -> str:
        """A file's name in the bundle, of which it is part from then on."""
        if path not in self._names:
            self._names[path] = f"{file_hash(path)[:16]}-{Path(path).name}"
            self.paths[self._names[path]] = Path(path)
        return self._names[path]

    def _add_data(self, spec: SweepSpec, cell: Cell, scratch: Path) -> None:
        """The data as cut to the limits: to be cut again, there, changes nothing."""
        if spec.data is None:
            return
        for split, file in cell.task.files.items():
            source, limit = spec.data_of(cell.task) / file, spec.limit_of(cell.task.name, split)
            if limit is not None:
                cell.task.format.cut(source, scratch / cell.task.name / file, limit)
                source = scratch / cell.task.name / file
            self.paths[f"data/{cell.task.name}/{file}"] = source


def unpack(folder: Path, name: str, content: bytes) -> None:
    """Write a file of a bundle, if it is not there."""
    path = folder / name
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)


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
