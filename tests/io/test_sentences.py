"""Text files as sentences."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from elmo_mf.errors import InputError
from elmo_mf.io import sentences
from elmo_mf.io.sentences import read_sentences, read_with_hash, stream_sentences
from elmo_mf.provenance import file_hash


def test_long_sentences_are_cut_into_pieces(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a b c d e\n\nf\n")
    assert read_sentences(tmp_path / "t.txt", 2) == [["a", "b"], ["c", "d"], ["e"], ["f"]]
    assert read_sentences(tmp_path / "t.txt", 9, limit=1) == [["a", "b", "c", "d", "e"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "t.txt: "),
        (b"\n \n", "t.txt: "),
        (b"a\ncaf\xe9\n", "t.txt: line 2: "),
    ],
)
def test_bad_files(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_sentences(tmp_path / "t.txt", 9)


def test_the_hash_is_of_the_whole_text_even_with_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"\xef\xbb\xbfa b\r\nc\rd e")
    assert read_with_hash(path, 9, limit=1) == ([["a", "b"]], file_hash(path))
    assert read_sentences(path, 9) == list(stream_sentences(path, 9)) == [["a", "b"], ["c"], ["d", "e"]]


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.txt"
    path.write_text(f"{'a b c'.ljust(sentences.SPLIT_AT_ONCE + 1)}\nd e\n")
    assert read_sentences(path, 2) == [["a", "b"], ["c"], ["d", "e"]]
    monkeypatch.setattr(sentences, "MOST_WORDS", 4)
    with pytest.raises(InputError, match="line 2: "):
        read_sentences(path, 2)


def test_what_is_read_again_is_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (lambda path: list(stream_sentences(path, 9)), lambda path: read_with_hash(path, 9, regular=True)):
        with pytest.raises(InputError, match="not a regular file"):
            read(tmp_path / "pipe")
