"""Tests that lines are those of Python's text mode, and therefore of AllenNLP's readers."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf.errors import InputError
from elmo_mf.io import TextLines

PIECES = st.sampled_from(["a", "é", "\n", "\r", "\r\n", "\u2028", "\x0c", "\x85", " ", "\x1c"])


@given(st.lists(PIECES, max_size=30).map("".join), st.integers(1, 5))
def test_lines_are_those_of_text_mode(tmp_path_factory: pytest.TempPathFactory, content: str, chunk: int) -> None:
    path = tmp_path_factory.mktemp("text") / "x"
    path.write_bytes(content.encode())
    with open(path, encoding="utf-8") as file:
        expected = [line.removesuffix("\n") for line in file]
    lines = TextLines(path, chunk=chunk)
    assert list(lines) == expected
    assert lines.lines == len(expected)
    assert lines.sha256 == hashlib.sha256(content.encode()).hexdigest()


def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfThe cat\n\xef\xbb\xbfsat")
    assert list(TextLines(tmp_path / "x")) == ["The cat", "\ufeffsat"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("The cat".encode("utf-16"), "line 1: found UTF-16"),
        (b"one\ntwo\n\xff\n", "line 3"),
        (b"one\r\xe9 \n", "line 2"),
    ],
)
def test_other_encodings_are_refused_with_the_line(content: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match=problem):
        list(TextLines(tmp_path / "x"))


def test_a_line_without_end(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a\n" + b"b" * 2000)
    with pytest.raises(InputError, match="line 2: found a line of more than 1,000 bytes"):
        list(TextLines(tmp_path / "x", most_bytes=1000, chunk=100))


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    thread = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"a b\nc",))
    thread.start()
    lines = TextLines(tmp_path / "pipe")
    assert list(lines) == ["a b", "c"]
    assert lines.sha256 == hashlib.sha256(b"a b\nc").hexdigest()
    thread.join()


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "train.txt").touch()
    with pytest.raises(InputError, match="did you mean train"):
        list(TextLines(tmp_path / "trian.txt"))
    with pytest.raises(InputError, match="cannot be read"):
        list(TextLines(tmp_path))


def test_a_pipe_where_a_regular_file_must_be(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        list(TextLines(tmp_path / "pipe", regular=True))
    (tmp_path / "file").write_text("a\nb")
    assert list(TextLines(tmp_path / "file", regular=True)) == ["a", "b"]


@pytest.mark.parametrize("regular", [False, True])
def test_gzip(tmp_path: Path, regular: bool) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"The cat\nsat"))
    lines = TextLines(tmp_path / "x.gz", regular=regular)
    assert list(lines) == ["The cat", "sat"] and lines.sha256 == hashlib.sha256(b"The cat\nsat").hexdigest()
    for damaged in (b"The cat", gzip.compress(b"The cat" * 99)[:-12], gzip.compress(b"The cat" * 99)[:20] + bytes(20)):
        (tmp_path / "x.gz").write_bytes(damaged)
        with pytest.raises(InputError, match=r"x\.gz: "):
            list(TextLines(tmp_path / "x.gz", regular=regular))
