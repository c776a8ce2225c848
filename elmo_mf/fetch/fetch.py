"""Fetch weights or a task's data: download, check, unpack, read, and only then put in place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints, TypeAdapter, ValidationError

from elmo_mf.errors import InputError
from elmo_mf.fetch.archive import extract
from elmo_mf.fetch.catalogue import Source
from elmo_mf.fetch.download import ProgressCallback, download
from elmo_mf.io import OutputError, atomic_files, exclusive, output_errors, read_json, write_json
from elmo_mf.provenance import file_hash

LOCK = "fetch.lock"
"""Beside what was fetched."""
_MOST_LOCK = 1_000_000  # bytes
_HASHES = TypeAdapter(dict[str, Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{64}$")]])


class Lock:
    """The SHA-256 of what was downloaded and of what became of it: what was trusted once is asked for again.

    Keep the file with a project, and every machine gets the same bytes, or an error.
    """

    def __init__(self, path: Path) -> None:
        self.hashes: dict[str, str] = {}
        if os.path.lexists(path):
            expected = "a SHA-256 for each address and file"
            try:
                raw = read_json(path, "lock file", expected, most=_MOST_LOCK, unique_keys=True)
                self.hashes = _HASHES.validate_python(raw)
            except ValidationError as error:
                first = error.errors()[0]
                where = "".join(f"{key}: " for key in first["loc"])
                raise InputError(f"{path}: {where}found {str(first['input'])[:100]!r}, expected {expected}") from None

    def write(self, path: Path) -> None:
        write_json(path, dict(sorted(self.hashes.items())))


def fetch(
    sources: tuple[Source, ...],
    folder: Path,
    check: Callable[[Path], None],
    mirror: str | None = None,
    advance: Callable[[Source], ProgressCallback] = lambda _: lambda *_: None,
    trusted: Callable[[Source], None] = lambda _: None,
) -> list[Path]:
    """Put the files of `sources` into `folder`, all together; files that are there already stay.

    Args:
        check: reads the complete files in a folder and raises InputError if they are not what they should be.
        mirror: address or folder that has the downloads under their own names.
        trusted: called with each source for which there is no hash to check the download against.

    Returns:
        The files that are new.

    Raises:
        InputError: see `download`, `extract` and `check`; or another process fetches to the same folder. Then nothing
            in `folder` has changed, except that the start of an interrupted download is kept.
        OutputError: `folder` cannot be written to.
    """
    with output_errors(folder), exclusive(folder, "downloads"):
        lock = Lock(folder / LOCK)
        wanted = [source for source in sources if not _complete(source, folder, lock)]
        if not wanted:
            return []
        work = folder / ".fetch"
        work.mkdir(exist_ok=True)
        got = {
            source: download(source, work, mirror, source.sha256 or lock.hashes.get(source.url), advance(source))
            for source in wanted
        }
        try:
            _put(sources, got, folder, check, lock, trusted)
        except OutputError:
            raise
        except InputError:
            for path in got.values():
                path.unlink()  # or the next call would use it
            raise
        shutil.rmtree(work, ignore_errors=True)
    return [folder / name for source in wanted for name in source.files.values()]


def _put(
    sources: tuple[Source, ...],
    got: dict[Source, Path],
    folder: Path,
    check: Callable[[Path], None],
    lock: Lock,
    trusted: Callable[[Source], None],
) -> None:
    with atomic_files(folder) as ready:
        for source in sources:
            _unpack(source, got.get(source), folder, ready)
        check(ready)
        for source, path in got.items():
            if source.sha256 is None and source.url not in lock.hashes:
                trusted(source)
            lock.hashes[source.url] = file_hash(path)
            lock.hashes |= {name: file_hash(ready / name) for name in source.files.values()}
        lock.write(ready / LOCK)


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
