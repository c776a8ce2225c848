"""What cells share, in `OUTPUT/cache/`: each thing is made once, under a name that says what it depends on.

Several processes and sweeps may use a cache at a time. It can be deleted whenever none does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from elmo_mf.harness.turn import Turn
from elmo_mf.locks import acquire, holding

_KINDS = ("encoders", "activations")  # what may grow large, and is made again when it is gone
_IN_USE = 60  # seconds in which who looked something up will have opened it


class Cache:
    """The folder of what a sweep's cells share, kept below `max_bytes` as far as it can be."""

    def __init__(self, output: Path, max_bytes: int, turn: Turn) -> None:
        self.folder, self.max_bytes, self.turn = output / "cache", max_bytes, turn

    def made(self, kind: str, name: str, make: Callable[[Path], None]) -> Path:
        """The folder `kind/name`, filled by `make` if nobody has made it; others wait meanwhile."""
        folder = self.folder / kind / name
        while not _touched(folder):
            with self._alone(folder.with_name(f".{name}.lock")):
                if not folder.exists():
                    self._make(folder, make)
        return folder

    def make_room(self, needed: int) -> bool:
        """Delete what has not been used for longest until `needed` more bytes fit; whether they do."""
        with holding(self.folder / ".room.lock"):
            folders = [path for kind in _KINDS for path in (self.folder / kind).glob("*") if path.is_dir()]
            sizes = {path: _size(path) for path in folders}
            total = sum(sizes.values())
            used = {path: _used(path) for path in folders if not path.name.startswith(".")}
            for path in sorted(used, key=lambda path: used[path]):
                if total + needed <= self.max_bytes:
                    break
                if time.time() - used[path] > _IN_USE:
                    doomed = path.with_name(f".{path.name}-deleted")
                    with contextlib.suppress(OSError):
                        path.rename(doomed)
                        shutil.rmtree(doomed, ignore_errors=True)
                        total -= sizes[path]
            return total + needed <= self.max_bytes

    @contextlib.contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        with self.turn.aside():
            lock = acquire(path)
        assert lock is not None
        try:
            yield
        finally:
            lock.release(remove=True)

    def _make(self, folder: Path, make: Callable[[Path], None]) -> None:
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            make(work)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _touched(folder: Path) -> bool:
    """Whether it is there; marks it as used now."""
    try:
        os.utime(folder)
    except FileNotFoundError:
        return False
    return True


def _used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
