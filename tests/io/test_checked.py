"""Tests that no write error is lost or crashes the process, whenever PyTorch writes."""

from __future__ import annotations

import errno
from pathlib import Path

import torch

from elmo_mf.io import checked_file
from tests.io.conftest import EachFails


def write(path: Path) -> None:
    with checked_file(path) as file:
        torch.save({f"{n}": torch.full((n, 100), n) for n in range(5)}, file)


def test_each_write_that_fails_is_reported(tmp_path: Path, each_write_fails: EachFails) -> None:
    path = tmp_path / "file"
    assert each_write_fails(lambda: write(path), errno.ENOSPC, "the disk is full") > 5
    write(path)
    assert (torch.load(path, weights_only=True)["4"] == 4).all()
