"""Locks between processes, held on files and released by the kernel when their holder ends, however it ends.

The design page says what was lost with filelock and with fasteners.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class Lock:
    """A lock that this process holds.

    Args:
        path: Its file.
        descriptor: The descriptor of the file, which is open and locked.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    def write(self, text: str) -> None:
        """Replace the content of the lock file, which others can read."""
        os.pwrite(self._descriptor, text.encode(), 0)
        os.ftruncate(self._descriptor, len(text.encode()))

    def release(self, remove: bool = False) -> None:
        """Release the lock; `remove` also deletes the file, for the holder of an exclusive lock only."""
        if remove:
            with contextlib.suppress(PermissionError):  # another user's file can stay
                self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


def acquire(path: Path, *, shared: bool = False, wait: bool = True) -> Lock | None:
    """Lock the file `path`, which is created if it does not exist.

    Args:
        path: The file.
        shared: Whether others can hold a shared lock at the same time. Defaults to False.
        wait: Whether to wait while others hold a lock that excludes this one. Defaults to True.

    Returns:
        The lock; None if others hold one and `wait` is not set.

    Raises:
        OSError: The file cannot be created or is a symbolic link, or its file system has no locks.
    """
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = _opened(path)
        except FileNotFoundError:  # the folder or another user's file was removed since
            continue
        try:
            fcntl.flock(descriptor, how)
            if _is(path, descriptor):  # the last holder has not removed it since
                return Lock(path, descriptor)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextlib.contextmanager
def holding(path: Path, *, shared: bool = False, remove: bool = False) -> Iterator[None]:
    """Hold a lock within the context.

    Args:
        path: See `acquire`.
        shared: See `acquire`. Defaults to False.
        remove: See `Lock.release`. Defaults to False.
    """
    lock = acquire(path, shared=shared)
    assert lock is not None
    try:
        yield
    finally:
        lock.release(remove)


def is_held(path: Path) -> bool:
    """Return whether a process holds the exclusive lock on a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # never waits on a pipe
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except PermissionError:  # another user's file, which can be locked but cannot be written to
        if not os.path.lexists(path):
            raise
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
