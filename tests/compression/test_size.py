"""Sizes against the encoder's parameters."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from elmo_mf import Bilm, Compression
from elmo_mf.compression import compress, size_report
from tests.conftest import random_bilm


@pytest.mark.parametrize(
    "compression",
    [
        None,
        Compression(method="svd", rank=2, targets="all"),
        Compression(method="svd", rank=3, targets="input", layers=[0]),
        Compression(method="svd", rank=2, targets="all", highway_rank=3),
    ],
)
def test_counts_are_the_modules(compression: Compression | None) -> None:
    dense = random_bilm()
    bilm = dense if compression is None else Bilm(dense.options, compress(dense.weights(), dense.options, compression))
    report = size_report(bilm.weights(), bilm.options)
    mask_row = bilm.options.char_cnn.embedding_dim
    assert report.encoder_parameters == sum(p.numel() for p in bilm.parameters()) - mask_row
    assert report.lstm_parameters == sum(p.numel() for p in bilm.layers.parameters())
    assert report.lstm_dense_parameters == sum(p.numel() for p in dense.layers.parameters())
    biases = 4 * 48
    assert report.lstm_multiply_adds == report.lstm_parameters - biases
    assert report.encoder_bytes == 4 * report.encoder_parameters


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int4"])
@pytest.mark.parametrize(
    "compression",
    [
        None,
        Compression(method="svd", rank=2, targets="all", highway_rank=3),
        Compression(method="svd", rank=2, targets="joint+projection"),
        Compression(method="svd", rank=1, targets="all", granularity="gate"),
    ],
    ids=["dense", "highways", "joint", "gates"],
)
def test_bytes_are_those_of_the_file(compression: Compression | None, dtype: str, tmp_path: Path) -> None:
    dense = random_bilm(dim=40, projection_dim=33)
    bilm = dense if compression is None else Bilm(dense.options, compress(dense.weights(), dense.options, compression))
    report = size_report(bilm.weights(), bilm.options, dtype=dtype)
    bilm.save(tmp_path, dtype)
    stored: dict[str, int] = {}
    with h5py.File(tmp_path / "weights.hdf5") as file:
        file.visititems(lambda name, one: stored.update({name: _size(one)} if isinstance(one, h5py.Dataset) else {}))
    assert report.encoder_bytes == sum(stored.values())
    assert report.lstm_bytes == sum(size for name, size in stored.items() if name.startswith("RNN_"))


def _size(dataset: h5py.Dataset) -> int:
    """Bytes on disk, without the header of four bits, which are rounded up to 64 of them."""
    size = int(dataset.id.get_storage_size())
    packed = -(-int(dataset.size) // 2)
    if dataset.scaleoffset is None:
        return size
    assert packed <= size <= packed + 64
    return packed


def test_a_matrix() -> None:
    dense = random_bilm()
    report = size_report(
        compress(dense.weights(), dense.options, Compression(method="svd", rank=2, targets="input")), dense.options
    )
    row = report.matrices[0]
    assert (row.direction, row.layer, row.target, row.shape, row.rank) == ("forward", 0, "input", (48, 6), 2)
    assert row.parameters == 2 * (48 + 6) and row.dense_parameters == 48 * 6
    assert report.matrices[1].rank is None
    assert report.lstm_ratio == pytest.approx(report.lstm_dense_parameters / report.lstm_parameters)


def test_around_multiply_adds() -> None:
    dense = random_bilm()  # filters 1 x 4, 2 x 8, 3 x 5 over 50 characters of width 4; two highways of 17; 17 to 6
    expected = 50 * 4 * 4 + 49 * 2 * 4 * 8 + 48 * 3 * 4 * 5 + 2 * 2 * 17 * 17 + 17 * 6
    assert size_report(dense.weights(), dense.options).around_multiply_adds == expected
