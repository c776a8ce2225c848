"""Fetch an entry of the catalogue: download, verify, extract and read its files before they appear in their folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints, TypeAdapter, ValidationError

from elmo_mf.errors import InputError
from elmo_mf.fetch._catalogue import Source
from elmo_mf.fetch._download import DownloadSettings, download
from elmo_mf.io import OutputError, atomic_files, exclusive, output_errors, read_json, recover, write_json
from elmo_mf.io.zip_archive import extract
from elmo_mf.progress import stage
from elmo_mf.provenance import file_hash

_SETTINGS = DownloadSettings()
LOCK = "fetch.lock"
"""Name of the file with the hashes, in the folder of the fetched files."""
_MOST_LOCK = 1_000_000  # bytes
_HASHES = TypeAdapter(dict[str, Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{64}$")]])


class Lock:
    """The SHA-256 of downloads and of their extracted files, which later downloads must match.

    A project that keeps the file gets the same bytes on every machine, or an error.

    Args:
        path: The lock file, which may not exist yet.

    Raises:
        InputError: The file is damaged or is no lock file.
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
                found = str(first["input"])[:100]
                raise InputError(path, *first["loc"], f"found {found!r}, expected {expected}") from None

    def write(self, path: Path) -> None:
        """Write the lock file, sorted, atomically."""
        write_json(path, dict(sorted(self.hashes.items())))


def fetch(
    sources: tuple[Source, ...],
    folder: Path,
    check: Callable[[Path], None],
    mirror: str | None = None,
    trusted: Callable[[Source], None] = lambda _: None,
    settings: DownloadSettings = _SETTINGS,
) -> list[Path]:
    """Fetch files into a folder, where they appear together; complete files are kept.

    Args:
        sources: The files.
        folder: Their folder.
        check: Reads the extracted files in a folder and raises `InputError` if their content is wrong.
        mirror: URL or folder that has the downloads under their own names.
        trusted: Called with each source that has no hash to verify the download with.
        settings: Patience with servers, and limits of what they send.

    Returns:
        The new files.

    Raises:
        InputError: As in `download`, `extract` and `check`, or another process fetches into the same folder. The folder
            is unchanged, except that a partial download is kept.
        OutputError: `folder` cannot be written to.
    """
    with output_errors(folder), exclusive(folder, "downloads"):
        lock = Lock(folder / LOCK)
        with stage("checking what is there", 1, "folder") if lock.hashes else nullcontext():
            missing = [source for source in sources if not _complete(source, folder, lock)]
        if not missing:
            return []
        work = folder / ".fetch"
        work.mkdir(exist_ok=True)
        downloads = {
            source: _download(source, work, mirror, source.sha256 or lock.hashes.get(source.url), settings)
            for source in missing
        }
        try:
            with stage("unpacking and checking", 1, "download"):
                _install(sources, downloads, folder, check, lock, trusted)
        except OutputError:
            raise
        except InputError:
            for path in downloads.values():
                path.unlink()  # otherwise the next call would reuse it
            raise
        shutil.rmtree(work, ignore_errors=True)
    return [folder / name for source in missing for name in source.files.values()]


def _download(source: Source, work: Path, mirror: str | None, sha256: str | None, settings: DownloadSettings) -> Path:
    shown = 0.0
    with stage(f"downloading {source.name}", 100, "%") as advance:

        def show(there: int, total: int | None) -> None:
            nonlocal shown
            before, shown = shown, 100 * there / total if total else 0.0
            advance(shown - before, f"{there / 1e6:,.0f}{f' of {total / 1e6:,.0f}' if total else ''} MB")

        return download(source, work, mirror, sha256, settings, show)


def foreign_files(sources: tuple[Source, ...], folder: Path) -> list[Path]:
    """Return the files that `fetch` would replace although it did not write them."""
    recover(folder)
    lock = Lock(folder / LOCK)
    return [folder / name for one in sources for name in one.files.values() if name not in lock.hashes]


def _install(
    sources: tuple[Source, ...],
    downloads: dict[Source, Path],
    folder: Path,
    check: Callable[[Path], None],
    lock: Lock,
    trusted: Callable[[Source], None],
) -> None:
    with atomic_files(folder) as ready:
        for source in sources:
            _unpack(source, downloads.get(source), folder, ready)
        check(ready)
        for source, path in downloads.items():
            if source.sha256 is None and source.url not in lock.hashes:
                trusted(source)
            lock.hashes[source.url] = file_hash(path)
            lock.hashes |= {name: file_hash(ready / name) for name in source.files.values()}
        lock.write(ready / LOCK)


def _unpack(source: Source, path: Path | None, folder: Path, ready: Path) -> None:
    """Extract or copy a download to `ready`; without a download, copy the existing files."""
    for member, name in source.files.items():
        if path is not None and member:
            extract(path, member, ready / name)
        else:
            shutil.copyfile(folder / name if path is None else path, ready / name)


def _complete(source: Source, folder: Path, lock: Lock) -> bool:
    names = source.files.values()
    return all((folder / name).is_file() and lock.hashes.get(name) == file_hash(folder / name) for name in names)
