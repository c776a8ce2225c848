"""Sizes against the encoder's parameters."""

from __future__ import annotations

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
