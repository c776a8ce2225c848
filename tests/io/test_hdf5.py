"""No error of a write is lost, whenever HDF5 happens to make it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from elmo_mf.io import OutputError, hdf5_file


def write(path: Path) -> None:
    with hdf5_file(path) as file:
        for index in range(20):
            file.create_dataset(f"group/{index}", data=np.full((index + 1, 7), index, np.float32))
        file["group"].attrs["text"] = "x" * 100
        file.create_dataset("packed", data=np.arange(10_000), compression="gzip")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write(tmp_path / "file")
    with h5py.File(tmp_path / "file") as file:
        assert all((file[f"group/{index}"][()] == index).all() for index in range(20))
        assert (file["packed"][()] == np.arange(10_000)).all()


def test_each_write_that_fails_once_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls, failing = os.pwrite, 0, -1

    def pwrite(*arguments: object) -> int:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(errno.EIO, "Input/output error")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "pwrite", pwrite)
    write(tmp_path / "file")
    total = calls
    assert total > 20
    for failing in range(1, total + 1):  # noqa: B007
        calls = 0
        with pytest.raises(OutputError, match="Input/output error"):
            write(tmp_path / "file")


def test_short_writes_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda f, data, offset: real(f, data[: max(1, len(data) // 2)], offset))
    test_what_is_written_is_read_back(tmp_path)
