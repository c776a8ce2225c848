"""What runs share, in `OUTPUT/cache/`: each thing is made once, under a name that says what it depends on.

Several processes, sweeps and users may use a cache at once. It can be deleted whenever none does. Each folder lists the
SHA-256 of its files; a folder whose files differ from its list is rebuilt.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from elmo_mf.errors import InputError, one_line
from elmo_mf.experiments.machine_lock import Turn
from elmo_mf.io import read_json, replace_folder, staging, write_json
from elmo_mf.io.locks import Lock, acquire, holding
from elmo_mf.provenance import regular_hash

_KINDS = ("encoders", "activations")  # what may grow large, and is made again when it is gone
_CONTENTS = "contents.json"
_LEFT = 200_000_000  # bytes of a disk, for records and checkpoints

MOST_JSON = 10_000_000
"""Bytes that a JSON file in a cache may have."""

T = TypeVar("T")


class Cache:
    """The folder of what a sweep's runs share, kept below `max_bytes` as far as it can be; 0 bounds nothing.

    What this process has been given stays until `close`, which others see by a lock that it shares.
    """

    def __init__(self, output: Path, max_bytes: int, turn: Turn) -> None:
        self.folder, self.max_bytes, self.turn = output / "cache", max_bytes, turn
        self._used: list[Lock] = []

    def made(self, kind: str, name: str, make: Callable[[Path], None]) -> Path:
        """The folder `kind/name`, which `make` fills if nobody has yet; others wait meanwhile."""
        return self.read(kind, name, make, lambda folder: folder)

    def read(self, kind: str, name: str, make: Callable[[Path], None], read: Callable[[Path], T]) -> T:
        """What `read` finds in the folder `kind/name`, which `make` fills if nobody has yet.

        The folder is rebuilt, with a warning, if a file in it is not as it was written or `read` raises `InputError`.
        """
        folder = self.folder / kind / name
        use = acquire(_use(folder), shared=True)
        assert use is not None
        self._used.append(use)
        try:
            found = _read_whole(folder, read)
        except InputError:
            with self._alone(folder.with_name(f".{name}.lock")):
                found = self._remade(folder, make, read)
        with contextlib.suppress(PermissionError):  # another user's
            os.utime(folder)
        return found

    def close(self) -> None:
        """Need nothing any more."""
        for lock in self._used:
            lock.release()
            alone = acquire(lock.path, wait=False)
            if alone is not None:
                alone.release(remove=True)
        self._used.clear()

    def make_room(self, needed: int) -> bool:
        """Delete folders that nobody uses, least recently used first, until `needed` more bytes fit; whether they do.

        They must fit within the bound and on the disk, where some room is left for other files.
        """
        if not self.max_bytes:
            return self._disk_has(needed)
        with holding(self.folder / ".room.lock"):
            folders = [path for kind in _KINDS for path in (self.folder / kind).glob("*") if path.is_dir()]
            sizes = {path: _size(path) for path in folders}
            total = sum(sizes.values())
            for path in sorted((path for path in folders if not path.name.startswith(".")), key=_last_used):
                if total + needed <= self.max_bytes and self._disk_has(needed):
                    break
                use = acquire(_use(path), wait=False)
                if use is not None:
                    shutil.rmtree(path, ignore_errors=True)
                    total -= sizes[path]
                    use.release(remove=True)
            return total + needed <= self.max_bytes and self._disk_has(needed)

    def _disk_has(self, needed: int) -> bool:
        try:
            return shutil.disk_usage(self.folder).free >= needed + _LEFT
        except OSError:  # a file system that does not report its free space
            return True

    @contextlib.contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        with self.turn.aside():
            lock = acquire(path)
        assert lock is not None
        try:
            yield
        finally:
            lock.release(remove=True)

    def _remade(self, folder: Path, make: Callable[[Path], None], read: Callable[[Path], T]) -> T:
        try:
            return _read_whole(folder, read)  # another process may have made it meanwhile
        except InputError as error:
            if os.path.lexists(folder):
                print(f"elmo-mf: warning: {error}; it is rebuilt", file=sys.stderr)
        with staging(folder.parent, folder.name) as work:
            make(work)
            write_json(work / _CONTENTS, _hashes(work))
            replace_folder(work, folder)
        return read(folder)


def _read_whole(folder: Path, read: Callable[[Path], T]) -> T:
    """What `read` finds in a folder whose files are as they were written.

    Raises:
        InputError: they are not, or the folder is not there.
    """
    expected = "the SHA-256 of each file in this folder"
    listed = read_json(folder / _CONTENTS, "list of contents", expected, most=MOST_JSON)
    if not isinstance(listed, dict):
        raise InputError(f"{folder / _CONTENTS}: found no object, expected {expected}")
    found = _hashes(folder)
    for name in sorted(found.keys() | listed.keys()):
        if found.get(name) != listed.get(name):
            raise InputError(f"{folder / name}: found a file that is not as it was written, or none")
    return read(folder)


def _hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder, by its path there."""
    hashes = {}
    try:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if name != _CONTENTS and (path.is_symlink() or not path.is_dir()):
                hashes[name] = regular_hash(path, "cached file", "a regular file")
    except OSError as error:
        raise InputError(f"{folder}: a cached file cannot be read ({one_line(error)})") from None
    return hashes


def _use(folder: Path) -> Path:
    """The lock that those share who use a folder."""
    return folder.with_name(f".{folder.name}.use")


def _last_used(folder: Path) -> float:
    return folder.stat().st_mtime


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size * (path.name != _CONTENTS)
    return total
