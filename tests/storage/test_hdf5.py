"""Tests that no write error is lost, whenever HDF5 writes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from elmo_mf.storage import hdf5_file
from tests.io.conftest import EachFails


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


@pytest.mark.slow
def test_each_write_that_fails_once_is_reported(tmp_path: Path, each_write_fails: EachFails) -> None:
    assert each_write_fails(lambda: write(tmp_path / "file"), errno.EIO, "Input/output error") > 20


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda f, data, offset: real(f, data[: max(1, len(data) // 2)], offset))
    test_what_is_written_is_read_back(tmp_path)
