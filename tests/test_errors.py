"""What is not there, and what was perhaps meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from elmo_mf.errors import missing


@pytest.mark.parametrize(
    ("name", "hint"),
    [("trian.txt", "; did you mean train.txt?"), ("weights.hdf5", ""), ("gone/train.txt", "")],
)
def test_a_missing_file(name: str, hint: str, tmp_path: Path) -> None:
    """A neighbour of nearly its name is named; there may be none, and no folder either."""
    (tmp_path / "train.txt").touch()
    error = missing(tmp_path / name, "text file", "one sentence a line")
    assert str(error) == f"{tmp_path / name}: no such text file, expected one sentence a line{hint}"
