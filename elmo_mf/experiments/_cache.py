"""Folders that runs share, in `OUTPUT/cache/`: each is built once, under a name that identifies its content.

Several processes, sweeps and users can use a cache at the same time; it can be deleted while nobody uses it. Each
folder lists the SHA-256 of its files and is rebuilt if they differ.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from elmo_mf.errors import InputError, one_line, shown
from elmo_mf.experiments._machine_lock import MachineLock
from elmo_mf.io import read_json, replace_folder, staging, write_json
from elmo_mf.io.locks import Lock, acquire, holding
from elmo_mf.provenance import regular_hash

_KINDS = ("encoders", "activations", "models")  # large ones, which may be deleted to free space
_CONTENTS = "contents.json"
_RESERVED_BYTES = 200_000_000  # of the disk, for records and checkpoints

MAX_JSON_BYTES = 10_000_000
"""Maximum size of a JSON file in a cache, in bytes."""

T = TypeVar("T")


class Cache:
    """The cache of an output folder.

    A folder that this process has requested is kept until `close`: the process holds a shared lock on it.

    Args:
        output: Folder of the sweep.
        max_bytes: Size limit, kept where possible; 0 for none.
        machine: Lock that is released while another process builds a folder.
    """

    def __init__(self, output: Path, max_bytes: int, machine: MachineLock) -> None:
        self.folder, self.max_bytes, self.machine = output / "cache", max_bytes, machine
        self._used: list[Lock] = []

    def get(self, kind: str, name: str, build: Callable[[Path], None]) -> Path:
        """Return the folder `kind/name`.

        Args:
            kind: Folder below the cache.
            name: Folder below `kind`.
            build: Fills an empty folder; called if the folder is missing or damaged, in one process at a time.
        """
        return self.load(kind, name, build, lambda folder: folder)

    def load(self, kind: str, name: str, build: Callable[[Path], None], read: Callable[[Path], T]) -> T:
        """Read the folder `kind/name`.

        The folder is rebuilt, with a warning, if a file in it has changed or `read` raises `InputError`.

        Args:
            kind: Folder below the cache.
            name: Folder below `kind`.
            build: See `get`.
            read: Reads the folder.

        Returns:
            The result of `read`.
        """
        folder = self.folder / kind / name
        use = acquire(_use(folder), shared=True)
        assert use is not None
        self._used.append(use)
        try:
            value = _read_verified(folder, read)
        except InputError:
            with self._build_lock(folder.with_name(f".{name}.lock")):
                value = self._rebuilt(folder, build, read)
        with contextlib.suppress(PermissionError):  # another user's
            os.utime(folder)
        return value

    def close(self) -> None:
        """Release all folders that this process has requested."""
        for lock in self._used:
            lock.release()
            alone = acquire(lock.path, wait=False)
            if alone is not None:
                alone.release(remove=True)
        self._used.clear()

    def make_room(self, needed: int) -> bool:
        """Delete unused folders, least recently used first, until `needed` more bytes fit.

        Returns:
            Whether they fit within the size limit and on the disk, where some space is reserved for other files.
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
            return shutil.disk_usage(self.folder).free >= needed + _RESERVED_BYTES
        except OSError:  # a file system that does not report its free space
            return True

    @contextlib.contextmanager
    def _build_lock(self, path: Path) -> Iterator[None]:
        with self.machine.pause():
            lock = acquire(path)
        assert lock is not None
        try:
            yield
        finally:
            lock.release(remove=True)

    def _rebuilt(self, folder: Path, build: Callable[[Path], None], read: Callable[[Path], T]) -> T:
        try:
            return _read_verified(folder, read)  # another process may have built it in the meantime
        except InputError as error:
            if os.path.lexists(folder):
                print(f"elmo-mf: warning: {error}; it is rebuilt", file=sys.stderr)
        with staging(folder.parent, folder.name) as work:
            build(work)
            write_json(work / _CONTENTS, _hashes(work))
            replace_folder(work, folder)
        return read(folder)


def _read_verified(folder: Path, read: Callable[[Path], T]) -> T:
    """Read a folder after checking its files against its list of contents.

    Raises:
        InputError: The files differ, or the folder is missing.
    """
    expected = "the SHA-256 of each file in this folder"
    listed = read_json(folder / _CONTENTS, "list of contents", expected, most=MAX_JSON_BYTES)
    if not isinstance(listed, dict):
        raise InputError(folder / _CONTENTS, f"found {shown(listed)}, expected {expected}")
    actual = _hashes(folder)
    for name in sorted(actual.keys() | listed.keys()):
        if actual.get(name) != listed.get(name):
            raise InputError(folder / name, "found a changed or missing file, expected that of its list")
    return read(folder)


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder, by relative path."""
    hashes = {}
    try:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if name != _CONTENTS and (path.is_symlink() or not path.is_dir()):
                hashes[name] = regular_hash(path, "cached file", "a regular file")
    except OSError as error:
        raise InputError(folder, f"a cached file cannot be read ({one_line(error)})") from None
    return hashes


def _use(folder: Path) -> Path:
    """Return the path of the lock that the users of a folder share."""
    return folder.with_name(f".{folder.name}.use")


def _last_used(folder: Path) -> float:
    return folder.stat().st_mtime


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size * (path.name != _CONTENTS)
    return total
