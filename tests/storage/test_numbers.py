"""Tests of HDF5 files of numbers, including damaged and malicious ones."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from elmo_mf.errors import InputError
from elmo_mf.storage import hdf5_file
from elmo_mf.storage.numbers import CHECKSUM, NumbersFile, as_stored, write_numbers

ARRAYS: dict[str, np.ndarray] = {
    "a": np.linspace(-1, 1, 300, dtype=np.float32).reshape(20, 15),
    "group/b": np.arange(7, dtype=np.float16),
    "group/c": np.full((2, 3), np.pi),
    "empty": np.zeros((0, 4), np.float32),
}


def _write(path: Path, compression: str | None = None) -> Path:
    with hdf5_file(path) as file:
        for name, array in ARRAYS.items():
            write_numbers(file, name, array, compression if array.size else None)
    return path


def _read(path: Path) -> dict[str, np.ndarray]:
    with NumbersFile(path, "file", "numbers") as file:
        return {name: file.read(name, array.shape, array.dtype.name) for name, array in ARRAYS.items()}


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_round_trip(tmp_path: Path, compression: str | None) -> None:
    path = _write(tmp_path / "x.hdf5", compression)
    for name, array in _read(path).items():
        np.testing.assert_array_equal(array, ARRAYS[name])
    with h5py.File(path) as file:  # as other programs read it
        assert np.array_equal(file["group/b"][...], ARRAYS["group/b"])
        assert len(file["a"].attrs[CHECKSUM]) == 64


@pytest.mark.slow
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_any_flipped_byte_is_found_or_harmless(tmp_path: Path, compression: str | None) -> None:
    """A flipped byte is an error, or leaves all numbers unchanged."""
    path = _write(tmp_path / "x.hdf5", compression)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for place in rng.choice(len(content), 150, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            arrays = _read(path)
        except InputError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            assert all(np.array_equal(arrays[name], array) for name, array in ARRAYS.items()), place
    assert refused


def test_a_flipped_byte_of_the_numbers_names_the_dataset(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.hdf5")
    content = path.read_bytes()
    place = content.index(ARRAYS["group/b"].tobytes())
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(InputError, match=r"x\.hdf5: group/b: .*checksum"):
        _read(path)


@pytest.mark.parametrize("value", [5, np.zeros(1000), "no checksum", np.bytes_(b"\xff" * 64), np.array([b"a", b"b"])])
def test_attributes_that_are_no_checksum(tmp_path: Path, value: object) -> None:
    path = _write(tmp_path / "x.hdf5")
    with h5py.File(path, "a") as file:
        file["a"].attrs[CHECKSUM] = value
    with pytest.raises(InputError, match=r"x\.hdf5: a: "):
        _read(path)


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 2**64 - 16])
def test_heaps_that_hdf5_reads_for_ever(tmp_path: Path, size: int) -> None:
    """In a process of its own, since nothing else ends the library's loop."""
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["kind"] = "a text of any length"
    program = "import sys; from pathlib import Path; from elmo_mf.storage.numbers import NumbersFile as File;"
    program += "print(File(Path(sys.argv[1]), 'file', 'numbers').text('kind'))"
    command = [sys.executable, "-c", program, str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "a text of any length\n"
    content = bytearray(path.read_bytes())
    first = content.index(b"GCOL") + 16
    struct.pack_into("<H", content, first, 0 if size == 0 else 1)
    struct.pack_into("<Q", content, first + 8, size)
    path.write_bytes(content)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "x.hdf5: kind: found a damaged heap" in done.stderr


def test_files_without_checksums_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        for name, array in ARRAYS.items():
            file[name] = array.astype(array.dtype.newbyteorder(">"))
    for name, array in _read(tmp_path / "x.hdf5").items():
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_no_more_memory_than_the_file_is_worth(tmp_path: Path) -> None:
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        for name in "abc":
            file.create_dataset(name, (1 << 14, 1 << 12), "f4", chunks=(1 << 10, 1 << 10), compression="gzip")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with NumbersFile(path, "file", "numbers") as file:
        file.check_size(["a", "b", "none"])
        with pytest.raises(InputError, match=r"201,326,592 .*134,217,728"):
            file.check_size("abc")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_chunk_that_is_much_larger_than_its_dataset(tmp_path: Path) -> None:
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (4,), "f4", maxshape=(None,), chunks=(1 << 24,), compression="gzip")[:] = 1
    with NumbersFile(path, "file", "numbers") as file, pytest.raises(InputError, match=r"a: .*chunks"):
        file.read("a", (4,))


def test_special_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("fifo", "zero", "."):
        with pytest.raises(InputError, match=r"a folder|not a regular file|cannot be opened"):
            NumbersFile(tmp_path / name, "file", "numbers")


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        ([1.0, np.nan], "float16", "there: found 1 values"),
        ([1.0, 1e6], "float16", "there: "),
        ([1.0, np.inf], "float32", "there: found 0 values"),
        ([1.0, 1e300], "float32", "there: "),
    ],
)
def test_numbers_that_cannot_be_stored(values: list[float], dtype: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_stored(np.array(values), dtype, "there")
