"""Tests that locks exclude other processes and end with their holder."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from elmo_mf.io.locks import acquire, holding, is_held

_HOLDER = """
import sys, time
from pathlib import Path
from elmo_mf.io.locks import acquire
lock = acquire(Path(sys.argv[1]), shared=sys.argv[2] == "shared")
print("held", flush=True)
time.sleep(60)
"""


def _holder(path: Path, how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", _HOLDER, str(path), how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_alone_between_processes_until_the_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    process = _holder(path, "alone")
    try:
        assert is_held(path)
        assert acquire(path, wait=False) is None and acquire(path, shared=True, wait=False) is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    lock = acquire(path)
    assert lock is not None and is_held(path)
    lock.release()
    assert not is_held(path)


def test_a_link_is_no_lock(tmp_path: Path) -> None:
    """A symbolic link of another user could make a lock's content overwrite any file."""
    for target in ("file", "gone/file"):
        (tmp_path / "lock").unlink(missing_ok=True)
        (tmp_path / "lock").symlink_to(tmp_path / target)
        with pytest.raises(OSError, match="symbolic links"):
            acquire(tmp_path / "lock")
    assert not (tmp_path / "file").exists()


def test_shared(tmp_path: Path) -> None:
    process = _holder(tmp_path / "lock", "shared")
    try:
        lock = acquire(tmp_path / "lock", shared=True, wait=False)
        assert lock is not None and acquire(tmp_path / "lock", wait=False) is None
        assert not is_held(tmp_path / "lock")
    finally:
        process.kill()
        process.wait()


def test_a_removed_lock_is_not_taken_for_held(tmp_path: Path) -> None:
    """A waiter locks the new file if the holder removed the old one."""
    path, got = tmp_path / "lock", threading.Event()
    first = acquire(path)
    assert first is not None

    def wait() -> None:
        with holding(path, remove=True):
            assert is_held(path)
            got.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert not got.wait(0.2)
    first.release(remove=True)
    assert got.wait(10)
    waiter.join()
    assert not path.exists() and not is_held(path)


def test_notes(tmp_path: Path) -> None:
    lock = acquire(tmp_path / "lock")
    assert lock is not None
    lock.write("a longer note")
    lock.write("short")
    assert (tmp_path / "lock").read_text() == "short"
