"""Files of row weights, written and read."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from elmo_mf import Compression
from elmo_mf.bilm import Factors
from elmo_mf.bilm.weights import TARGETS
from elmo_mf.compression import CalibrationStatistics, compress, method_named
from elmo_mf.compression.calibration import RowWeights, read_row_weights, write_row_weights
from elmo_mf.errors import InputError
from tests.conftest import random_bilm

OPTIONS, WEIGHTS = random_bilm().options, random_bilm().weights()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows: dict[tuple[int, int, str], np.ndarray] = {
        (*key, target): rng.exponential(size=6 if target == "projection" else 48)
        for key in WEIGHTS.lstms
        for target in TARGETS
    }
    write_row_weights(tmp_path / "g.hdf5", RowWeights(rows), {"task": "none"})
    return tmp_path / "g.hdf5"


def test_each_matrix_has_its_own(file: Path) -> None:
    rows = read_row_weights(file, WEIGHTS).rows
    compressed = compress(
        WEIGHTS,
        OPTIONS,
        Compression(method="fisher_svd", rank=2, targets="all", granularity="gate", gradients=str(file)),
    )
    for key, lstm in compressed.lstms.items():
        dense = np.asarray(WEIGHTS.lstms[key].matrices["recurrent"])
        for gate in range(4):
            part = slice(12 * gate, 12 * (gate + 1))
            statistics = CalibrationStatistics(row_weights=rows[(*key, "recurrent")][part])
            expected, factors = (
                method_named("fisher_svd").factorize(dense[part], 2, statistics),
                lstm.matrices["recurrent"],
            )
            assert isinstance(expected, Factors) and isinstance(factors, Factors)
            np.testing.assert_array_equal(factors.left[part], expected.left)


def test_a_joint_matrix_has_the_sum(file: Path) -> None:
    rows = read_row_weights(file, WEIGHTS).rows
    compressed = compress(
        WEIGHTS, OPTIONS, Compression(method="fisher_svd", rank=2, targets="joint", gradients=str(file))
    )
    dense = np.concatenate([np.asarray(WEIGHTS.lstms[0, 0].matrices[t]) for t in ("input", "recurrent")], axis=1)
    statistics = CalibrationStatistics(row_weights=rows[0, 0, "input"] + rows[0, 0, "recurrent"])
    expected, factors = (
        method_named("fisher_svd").factorize(dense, 2, statistics),
        compressed.lstms[0, 0].matrices["joint"],
    )
    assert isinstance(expected, Factors) and isinstance(factors, Factors)
    np.testing.assert_array_equal(factors.left, expected.left)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "forward/1/input: "),
        (np.ones(47), "forward/1/input: found shape (47,)"),
        (-np.ones(48), "forward/1/input: found negative values"),
        (np.full(48, np.nan), "forward/1/input: found 48 values"),
    ],
)
def test_bad_files(file: Path, value: np.ndarray | None, message: str) -> None:
    with h5py.File(file, "a") as opened:
        del opened["forward/1/input"]
        if value is not None:
            opened["forward/1/input"] = value
    with pytest.raises(InputError) as caught:
        read_row_weights(file, WEIGHTS)
    assert message in str(caught.value) and str(file) in str(caught.value)


def test_truncated_files(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(InputError, match="HDF5"):
        read_row_weights(file, WEIGHTS)
