"""Tests that files appear complete or not at all, even if their writer is killed at any step."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from elmo_mf.errors import InputError
from elmo_mf.io import OutputError, atomic_files, atomic_path, check_settled, exclusive, remove_folder, write_text


def in_a_child(work: Callable[[], object], kill_at: int) -> bool:
    """Run `work` in a child that is killed before its `kill_at`-th rename, and return whether it was killed."""
    child = os.fork()
    if child == 0:
        count = 0
        replace, rename = Path.replace, Path.rename

        def counted(real: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
            def call(self: Path, target: Path) -> Path:
                nonlocal count
                count += 1
                if count == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(self, target)

            return call

        Path.replace, Path.rename = counted(replace), counted(rename)  # type: ignore[method-assign, assignment]
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0


def write_all(folder: Path, text: str, names: tuple[str, ...] = ("a", "b", "c")) -> None:
    with atomic_files(folder, obsolete=["old"]) as staging:
        for name in names:
            (staging / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("kill_at", range(1, 5))
def test_several_files_appear_together_after_a_kill(kill_at: int, tmp_path: Path) -> None:
    """After the next write into the folder, it has all old files or all new ones, and nothing else."""
    write_all(tmp_path, "old")
    (tmp_path / "old").write_text("old")
    (tmp_path / "mine").write_text("kept")
    assert in_a_child(lambda: write_all(tmp_path, "new"), kill_at)
    write_text(tmp_path / "other", "x")
    files = content(tmp_path)
    assert files.pop("mine") == "kept"
    assert files.pop("other") == "x"
    if kill_at == 1:
        assert files == {"a": "old", "b": "old", "c": "old", "old": "old"}
    else:
        assert files == {"a": "new", "b": "new", "c": "new"}
    assert not list(tmp_path.glob(".*"))


def test_a_killed_writer_of_one_file_leaves_nothing_for_long(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    assert in_a_child(lambda: write_text(path, "new"), 1)
    assert path.read_text() == "old"
    assert list(tmp_path.glob(".*.tmp"))
    write_text(tmp_path / "other", "x")
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_writer_that_still_runs_is_left_alone(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "slow") as temporary:
        temporary.write_text("slow")
        write_text(tmp_path / "quick", "quick")
    assert content(tmp_path) == {"slow": "slow", "quick": "quick"}


def test_a_body_that_fails_leaves_the_old_files(tmp_path: Path) -> None:
    write_all(tmp_path, "old")
    with pytest.raises(RuntimeError), atomic_files(tmp_path) as staging:
        (staging / "a").write_text("new")
        raise RuntimeError
    assert content(tmp_path) == dict.fromkeys("abc", "old")
    assert not list(tmp_path.glob(".*"))


def test_the_name_of_a_file_may_be_as_long_as_file_systems_allow(tmp_path: Path) -> None:
    write_text(tmp_path / ("é" * 127), "x")
    with pytest.raises(OutputError, match="cannot be written"):
        write_text(tmp_path / ("é" * 128), "x")


def test_modes_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_file_elsewhere_that_cannot_be_read_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out" / "file"):
        Path("/nonexistent/input").read_text()


def test_an_error_names_the_final_place(tmp_path: Path) -> None:
    """Errors name the destination, not a staging folder, even for nested ones."""
    for error in (InputError, lambda text: OutputError(text.partition(":")[0], OSError(28, ""))):
        with pytest.raises(InputError) as caught, atomic_files(tmp_path) as outer, atomic_files(outer / "b") as inner:
            raise error(f"{inner / 'file'}: found nothing")
        assert str(caught.value).startswith(f"{tmp_path / 'b' / 'file'}: ")


def test_the_names_that_a_strange_folder_lists_stay_within_it(tmp_path: Path) -> None:
    folder, outside = tmp_path / "downloaded", tmp_path / "mine"
    outside.write_text("kept")
    left = folder / ".x.00000000.done.tmp"
    left.mkdir(parents=True)
    (left / ".obsolete").write_text(json.dumps(["../mine", str(outside), "here"]))
    (folder / "here").write_text("goes")
    write_text(folder / "other", "x")
    assert content(folder) == {"other": "x"} and outside.read_text() == "kept"


def test_what_another_user_left_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a shared folder such as /tmp, files staged by others must not replace those of this user."""
    left = tmp_path / ".x.00000000.done.tmp"
    left.mkdir()
    (left / "mine").write_text("theirs")
    (tmp_path / "mine").write_text("mine")
    theirs = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: theirs)
    write_text(tmp_path / "other", "x")
    assert (tmp_path / "mine").read_text() == "mine"
    with pytest.raises(InputError, match="another process"):
        check_settled(tmp_path)


def test_a_reader_finishes_what_a_killed_writer_began(tmp_path: Path) -> None:
    write_all(tmp_path, "old")
    assert in_a_child(lambda: write_all(tmp_path, "new"), 3)
    assert content(tmp_path) != dict.fromkeys("abc", "new")
    check_settled(tmp_path)
    assert content(tmp_path) == dict.fromkeys("abc", "new")


def test_a_folder_that_is_removed_goes_wholly_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a").touch()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # as if the process were killed here
    remove_folder(tmp_path / "parts")
    assert not (tmp_path / "parts").exists() and len(list(tmp_path.iterdir())) == 1
    monkeypatch.undo()
    write_text(tmp_path / "other", "c")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_an_empty_folder_that_is_held_stays(tmp_path: Path) -> None:
    with exclusive(tmp_path / "run", "the run"):
        with (
            pytest.raises(InputError, match="another process"),
            exclusive(tmp_path / "run", "the run"),
        ):
            pass
        assert (tmp_path / "run").is_dir()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "listed",
    [b"", bytes(20), b"[" * 100_000, b'{"old": 1}', b'["../old"]', b'["/old"]', b"[1]", b'["."]', b'["a\\u0000"]'],
)
def test_a_list_of_obsolete_files_that_is_not_as_written_removes_nothing(listed: bytes, tmp_path: Path) -> None:
    """Damaged or malicious lists, from a power cut or an untrusted folder, are ignored."""
    folder = tmp_path / "folder"
    folder.mkdir()
    write_all(folder, "old")
    for place in (folder, tmp_path):
        (place / "old").write_text("mine")
    assert in_a_child(lambda: write_all(folder, "new"), 3)
    (left,) = folder.glob(".*.done.tmp")
    (left / ".obsolete").write_bytes(listed)
    check_settled(folder)
    assert content(folder) == {**dict.fromkeys("abc", "new"), "old": "mine"}
    assert content(tmp_path) == {"old": "mine"}


def test_the_list_of_obsolete_files_is_on_disk_before_the_files_take_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def watched(file: int) -> None:
        synced.append(Path(f"/proc/self/fd/{file}").readlink().name)
        fsync(file)

    monkeypatch.setattr(os, "fsync", watched)
    real = Path.rename
    monkeypatch.setattr(Path, "rename", lambda *names: synced.append("renamed") or real(*names))  # type: ignore[func-returns-value]
    write_all(tmp_path, "new")
    assert ".obsolete" in synced[: synced.index("renamed")]


def test_a_strangers_complete_files_do_not_go_through_links_of_the_folder(tmp_path: Path) -> None:
    """An unpacked model folder must not write elsewhere when it is read."""
    (tmp_path / "home").mkdir()
    folder = tmp_path / "model"
    (folder / ".model.12345678.done.tmp" / "link").mkdir(parents=True)
    (folder / ".model.12345678.done.tmp" / "link" / ".profile").write_text("evil")
    (folder / "link").symlink_to(tmp_path / "home")
    with pytest.raises(InputError, match="another process"):
        check_settled(folder)
    assert not list((tmp_path / "home").iterdir())


def test_a_name_that_is_not_utf_8_can_be_written(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path / "out") + b"\xff"))
    write_text(path, "x")
    write_all(path.with_name(f"{path.name}.d"), "x")
    assert path.read_text() == "x"
    assert len(list(tmp_path.iterdir())) == 2
