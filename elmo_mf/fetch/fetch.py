"""Fetch weights or a task's data: download, check, unpack, read, and only then put in place."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from elmo_mf.errors import InputError
from elmo_mf.fetch.archive import extract
from elmo_mf.fetch.catalogue import Source
from elmo_mf.fetch.download import Advance, download
from elmo_mf.io import atomic_path
from elmo_mf.provenance import file_hash

LOCK = "fetch.lock"
"""Beside what was fetched."""


class Lock:
    """The SHA-256 of what was downloaded and of what became of it: what was trusted once is asked for again.

    Keep the file with a project, and every machine gets the same bytes, or an error.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hashes: dict[str, str] = {}
        if path.exists():
            try:
                raw = json.loads(path.read_text(encoding="utf-8"))
                self.hashes = {str(key): str(value) for key, value in raw.items()}
            except (OSError, ValueError, AttributeError, RecursionError) as error:
                raise InputError(f"{path}: found an unreadable lock file ({error}), expected JSON") from None

    def note(self, key: str, sha256: str) -> None:
        self.hashes[key] = sha256
        with atomic_path(self.path) as path:
            path.write_text(json.dumps(self.hashes, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def fetch(
    sources: tuple[Source, ...],
    folder: Path,
    check: Callable[[Path], None],
    mirror: str | None = None,
    advance: Callable[[Source], Advance] = lambda _: lambda *_: None,
) -> list[Path]:
    """Put the files of `sources` into `folder`, those that are there already excepted.

    # Parameters
    check: reads the complete files in a folder and raises InputError if they are not what they should be.
    mirror: address or folder that has the downloads under their own names.

    # Returns
    The files that are new.

    # Raises
    InputError: see `download`, `extract` and `check`; then nothing in `folder` has changed but for what has come of
    a download that was cut.
    """
    lock = Lock(folder / LOCK)
    wanted = [source for source in sources if not _complete(source, folder, lock)]
    if not wanted:
        return []
    work = folder / ".fetch"
    work.mkdir(parents=True, exist_ok=True)
    got = {
        source: download(source, work, mirror, source.sha256 or lock.hashes.get(source.url), advance(source))
        for source in wanted
    }
    new = []
    with tempfile.TemporaryDirectory(dir=work) as made:
        ready = Path(made)
        try:
            for source in sources:
                _unpack(source, got.get(source), folder, ready)
            check(ready)
        except InputError:
            for path in got.values():
                path.unlink()  # so that the next call does not take it for good
            raise
        for source, path in got.items():
            lock.note(source.url, file_hash(path))
            for name in source.files.values():
                (ready / name).replace(folder / name)
                lock.note(name, file_hash(folder / name))
                new.append(folder / name)
    shutil.rmtree(work, ignore_errors=True)
    return new


def _unpack(source: Source, path: Path | None, folder: Path, ready: Path) -> None:
    """The files of a download, or those that are in `folder` already, to `ready`."""
    for member, name in source.files.items():
        if path is not None and member:
            extract(path, member, ready / name)
        else:
            shutil.copyfile(folder / name if path is None else path, ready / name)


def _complete(source: Source, folder: Path, lock: Lock) -> bool:
    names = source.files.values()
    return all((folder / name).is_file() and lock.hashes.get(name) == file_hash(folder / name) for name in names)
