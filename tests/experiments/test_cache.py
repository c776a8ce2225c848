"""The shared cache builds each folder once, repairs damage and stays within its size limit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from elmo_mf.errors import InputError
from elmo_mf.experiments._cache import Cache
from elmo_mf.experiments._machine_lock import MachineLock
from tests.conftest import ROOT


def test_made_once_by_many(tmp_path: Path) -> None:
    built: list[int] = []

    def make(folder: Path) -> None:
        built.append(1)
        time.sleep(0.05)
        (folder / "file").write_text("whole")

    def use() -> None:
        with MachineLock(tmp_path) as machine:
            folder = Cache(tmp_path, 1000, machine).get("encoders", "a", make)
            assert (folder / "file").read_text() == "whole"

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert built == [1]
    assert [path.name for path in (tmp_path / "cache" / "encoders").glob("[!.]*")] == ["a"]


def test_what_was_not_finished_is_not_there(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError(28, "No space left on device")

    with MachineLock(tmp_path) as machine:
        cache = Cache(tmp_path, 1000, machine)
        with pytest.raises(OSError):
            cache.get("encoders", "a", fail)
        assert not [path for path in (tmp_path / "cache" / "encoders").iterdir() if path.is_dir()]
        assert cache.get("encoders", "a", lambda folder: None).is_dir()


def _fill(cache: Cache, kind: str, name: str, age: float) -> Path:
    def make(folder: Path) -> None:
        (folder / "x").write_bytes(b"0" * 400)

    folder = cache.get(kind, name, make)
    os.utime(folder, (time.time() - age, time.time() - age))
    return folder


def test_room_is_made_of_what_was_used_longest_ago(tmp_path: Path) -> None:
    """Folders that any process uses are never deleted."""
    with MachineLock(tmp_path) as machine, MachineLock(tmp_path) as others:
        first, second = Cache(tmp_path, 1000, machine), Cache(tmp_path, 1000, others)
        old, older = _fill(first, "encoders", "old", 200), _fill(first, "activations", "older", 300)
        assert second.make_room(100) and old.exists() and older.exists()
        assert not second.make_room(300) and old.exists() and older.exists()
        first.close()
        assert second.make_room(300) and old.exists() and not older.exists()
        assert first.get("encoders", "old", lambda _: None) == old
        assert not second.make_room(700) and old.exists()
        first.close()
        assert second.make_room(700) and not old.exists()


def test_no_bound(tmp_path: Path) -> None:
    with MachineLock(tmp_path) as machine:
        cache = Cache(tmp_path, 0, machine)
        folder = _fill(cache, "encoders", "a", 0)
        cache.close()
        assert cache.make_room(10**9) and folder.exists()


def _filled(folder: Path) -> None:
    (folder / "numbers").write_bytes(bytes(range(1, 251)))
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "text").write_text("some words")


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def _zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def _linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _foreign(path: Path) -> None:
    (path.parent / "more").write_text("not in the list")


DAMAGE = [_flipped, _zeroed, _cut, _linked, _piped, _foreign, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["numbers", "deep/er/text", "contents.json"])
def test_a_damaged_folder_is_rebuilt(
    name: str, damage: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with MachineLock(tmp_path) as machine:
        folder = Cache(tmp_path, 1000, machine).get("encoders", "a", _filled)
        expected = _content(folder)
        damage(folder / name)
        for warnings in (1, 0):
            assert Cache(tmp_path, 1000, machine).get("encoders", "a", _filled) == folder
            assert _content(folder) == expected
            error = capsys.readouterr().err
            assert error.count("elmo-mf: warning: ") == error.count("; it is rebuilt\n") == warnings
    assert [path.name for path in folder.parent.iterdir() if path.suffix == ".tmp"] == []


@pytest.mark.parametrize("kind", ["file", "link"])
def test_something_else_in_place_of_a_folder(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "encoders" / "a"
    folder.parent.mkdir(parents=True)
    folder.touch() if kind == "file" else folder.symlink_to(tmp_path / "gone")
    with MachineLock(tmp_path) as machine:
        assert Cache(tmp_path, 1000, machine).get("encoders", "a", _filled) == folder
    assert folder.is_dir() and not folder.is_symlink()


def test_a_folder_that_cannot_be_read_is_rebuilt(tmp_path: Path) -> None:
    """A folder is rebuilt even if its list of contents is right."""
    seen: list[bytes] = []

    def read(folder: Path) -> bytes:
        seen.append((folder / "numbers").read_bytes())
        if seen[-1] == b"other":
            raise InputError("no such numbers")
        return seen[-1]

    def other(folder: Path) -> None:
        (folder / "numbers").write_bytes(b"other")

    with MachineLock(tmp_path) as machine:
        Cache(tmp_path, 1000, machine).get("encoders", "a", other)
        assert Cache(tmp_path, 1000, machine).load("encoders", "a", _filled, read) == bytes(range(1, 251))
        with pytest.raises(InputError, match="no such numbers"):
            Cache(tmp_path, 1000, machine).load("encoders", "b", other, read)


def test_the_disk_holds_everything_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with MachineLock(tmp_path) as machine:
        Cache(tmp_path, 1000, machine).get("encoders", "a", _filled)
    assert {"numbers", "text", "er", "deep", "contents.json"} <= set(synced)
    assert synced[-1] == "encoders"


@pytest.mark.slow
@pytest.mark.parametrize("mask", ["002", "022"])
def test_two_users_of_a_group(mask: str) -> None:
    """Two users share an output folder; with umask 022, the second one can only read the first one's files."""
    if os.getuid() != 0:
        pytest.skip("needs the right to be somebody else")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in (folder, folder / "out", *(folder / "out" / part for part in _SHARED)):
            path.mkdir(exist_ok=True)
            os.chown(path, 0, 2000)
            path.chmod(0o2775)
        for user in ("1001", "1002"):
            command = [sys.executable, "-c", _USER, str(folder / "out"), user, mask]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
            assert (done.returncode, done.stdout, done.stderr) == (0, "{}\n", "")


_SHARED = ("running", "cache", "cache/encoders")
_USER = """
import encodings.utf_8_sig, json, os, sys  # whose files only root may be able to read
from pathlib import Path
from elmo_mf.experiments._workspace import workspace
from elmo_mf.io import write_text
from elmo_mf.io.locks import acquire
output = Path(sys.argv[1])
os.setgroups([])
os.setgid(2000)
os.setuid(int(sys.argv[2]))
os.umask(int(sys.argv[3], 8))
with workspace(output, "cell") as work:
    folder = work.cache.get("encoders", "abc", lambda folder: write_text(folder / "report.json", "{}"))
    print((folder / "report.json").read_text())
    with work.machine.exclusive():
        pass
lock = acquire(output / "running" / "run.lock")
lock.release()
"""


@pytest.mark.parametrize("bound", [0, 10**9])
def test_a_disk_that_is_nearly_full_bounds_the_cache_too(
    bound: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage(tmp_path))
    with MachineLock(tmp_path) as machine:
        cache = Cache(tmp_path, bound, machine)
        _fill(cache, "encoders", "a", 100)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, 300_000_000))
        assert cache.make_room(50_000_000) and not cache.make_room(150_000_000)
