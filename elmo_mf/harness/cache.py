"""What cells share, in `OUTPUT/cache/`: each thing is made once, under a name that says what it depends on.

Several processes and sweeps may use a cache at a time. It can be deleted whenever none does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from elmo_mf.harness.turn import Turn
from elmo_mf.locks import Lock, acquire, holding

_KINDS = ("encoders", "activations")  # what may grow large, and is made again when it is gone


class Cache:
    """The folder of what a sweep's cells share, kept below `max_bytes` as far as it can be; 0 bounds nothing.

    What this process has been given stays until `close`, which others see by a lock that it shares.
    """

    def __init__(self, output: Path, max_bytes: int, turn: Turn) -> None:
        self.folder, self.max_bytes, self.turn = output / "cache", max_bytes, turn
        self._used: list[Lock] = []

    def made(self, kind: str, name: str, make: Callable[[Path], None]) -> Path:
        """The folder `kind/name`, filled by `make` if nobody has made it; others wait meanwhile."""
        folder = self.folder / kind / name
        use = acquire(_use(folder), shared=True)
        assert use is not None
        self._used.append(use)
        if not folder.exists():
            with self._alone(folder.with_name(f".{name}.lock")):
                if not folder.exists():
                    self._make(folder, make)
        os.utime(folder)
        return folder

    def close(self) -> None:
        """Need nothing any more."""
        for lock in self._used:
            lock.release()
            alone = acquire(lock.path, wait=False)
            if alone is not None:
                alone.release(remove=True)
        self._used.clear()

    def make_room(self, needed: int) -> bool:
        """Delete what nobody uses, from what was used longest ago, until `needed` more bytes fit; whether they do."""
        if not self.max_bytes:
            return True
        with holding(self.folder / ".room.lock"):
            folders = [path for kind in _KINDS for path in (self.folder / kind).glob("*") if path.is_dir()]
            sizes = {path: _size(path) for path in folders}
            total = sum(sizes.values())
            for path in sorted((path for path in folders if not path.name.startswith(".")), key=_last_used):
                if total + needed <= self.max_bytes:
                    break
                use = acquire(_use(path), wait=False)
                if use is not None:
                    shutil.rmtree(path, ignore_errors=True)
                    total -= sizes[path]
                    use.release(remove=True)
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


def _use(folder: Path) -> Path:
    """The lock that those share who use a folder."""
    return folder.with_name(f".{folder.name}.use")


def _last_used(folder: Path) -> float:
    return folder.stat().st_mtime


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
