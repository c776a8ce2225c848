"""Text files as sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from elmo_mf.errors import InputError
from elmo_mf.sentences import read_sentences


def test_long_sentences_are_cut_into_pieces(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a b c d e\n\nf\n")
    assert read_sentences(tmp_path / "t.txt", 2) == [["a", "b"], ["c", "d"], ["e"], ["f"]]
    assert read_sentences(tmp_path / "t.txt", 9, limit=1) == [["a", "b", "c", "d", "e"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "t.txt: no such text file"),
        (b"\n \n", "t.txt: found no words, expected one tokenised sentence a line"),
        (b"caf\xe9\n", "t.txt: found something unreadable"),
    ],
)
def test_bad_files(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_sentences(tmp_path / "t.txt", 9)
