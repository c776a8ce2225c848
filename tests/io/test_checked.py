"""No error of a write is lost, nor crashes the process, whenever PyTorch happens to make it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from elmo_mf.io import OutputError, checked_file


def write(path: Path) -> None:
    with checked_file(path) as file:
        torch.save({f"{n}": torch.full((n, 100), n) for n in range(5)}, file)


def test_each_write_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls, failing = os.pwrite, 0, -1

    def pwrite(*arguments: object) -> int:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "pwrite", pwrite)
    write(tmp_path / "file")
    assert (torch.load(tmp_path / "file", weights_only=True)["4"] == 4).all()
    total = calls
    assert total > 5
    for failing in range(1, total + 1):  # noqa: B007
        calls = 0
        with pytest.raises(OutputError, match="the disk is full"):
            write(tmp_path / "file")
