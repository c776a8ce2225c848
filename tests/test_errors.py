"""What is not there, what was perhaps meant, and values in messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elmo_mf.errors import missing, shown


@pytest.mark.parametrize(
    ("name", "hint"),
    [("trian.txt", "; did you mean train.txt?"), ("weights.hdf5", ""), ("gone/train.txt", "")],
)
def test_a_missing_file(name: str, hint: str, tmp_path: Path) -> None:
    """A neighbour of nearly its name is named; there may be none, and no folder either."""
    (tmp_path / "train.txt").touch()
    error = missing(tmp_path / name, "text file", "one sentence a line")
    assert str(error) == f"{tmp_path / name}: no such text file, expected one sentence a line{hint}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.eye(2), "array([[1., 0.], [0., 1.]])"),  # its repr has two lines
        ("a" * 100, "'" + "a" * 59),
        (10**5000, "something of type int that is too long to show"),
    ],
    ids=["array", "text", "integer"],
)
def test_values_are_shown_in_one_short_line(value: object, text: str) -> None:
    assert shown(value) == text
