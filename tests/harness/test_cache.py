"""Things are made once, by whoever comes first, and the folder stays small."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from elmo_mf.harness.cache import Cache
from elmo_mf.harness.turn import Turn


def test_made_once_by_many(tmp_path: Path) -> None:
    made: list[int] = []

    def make(folder: Path) -> None:
        made.append(1)
        time.sleep(0.05)
        (folder / "file").write_text("whole")

    def use() -> None:
        with Turn(tmp_path) as turn:
            folder = Cache(tmp_path, 1000, turn).made("encoders", "a", make)
            assert (folder / "file").read_text() == "whole"

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert made == [1]
    assert [path.name for path in (tmp_path / "cache" / "encoders").glob("[!.]*")] == ["a"]


def test_what_was_not_finished_is_not_there(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError(28, "No space left on device")

    with Turn(tmp_path) as turn:
        cache = Cache(tmp_path, 1000, turn)
        with pytest.raises(OSError):
            cache.made("encoders", "a", fail)
        assert not [path for path in (tmp_path / "cache" / "encoders").iterdir() if path.is_dir()]
        assert cache.made("encoders", "a", lambda folder: None).is_dir()


def _fill(cache: Cache, kind: str, name: str, age: float) -> Path:
    def make(folder: Path) -> None:
        (folder / "x").write_bytes(b"0" * 400)

    folder = cache.made(kind, name, make)
    os.utime(folder, (time.time() - age, time.time() - age))
    return folder


def test_room_is_made_of_what_was_used_longest_ago(tmp_path: Path) -> None:
    """And never of what somebody uses, in whatever process."""
    with Turn(tmp_path) as turn, Turn(tmp_path) as others:
        first, second = Cache(tmp_path, 1000, turn), Cache(tmp_path, 1000, others)
        old, older = _fill(first, "encoders", "old", 200), _fill(first, "activations", "older", 300)
        assert second.make_room(100) and old.exists() and older.exists()
        assert not second.make_room(300) and old.exists() and older.exists()
        first.close()
        assert second.make_room(300) and old.exists() and not older.exists()
        assert first.made("encoders", "old", lambda _: None) == old
        assert not second.make_room(700) and old.exists()
        first.close()
        assert second.make_room(700) and not old.exists()


def test_no_bound(tmp_path: Path) -> None:
    with Turn(tmp_path) as turn:
        cache = Cache(tmp_path, 0, turn)
        folder = _fill(cache, "encoders", "a", 0)
        cache.close()
        assert cache.make_room(10**9) and folder.exists()
