"""Removal of memory cells, on the embedded ELMo and on small ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf import Bilm, Compression
from elmo_mf.bilm import BilmOptions
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.compression import activation_error, compress, remove_cells
from elmo_mf.compression.calibration import OutputCovariances, RowWeights, write_row_weights
from elmo_mf.compression.cells import removal_order
from elmo_mf.errors import InputError
from tests.conftest import random_bilm, rejected

TEXT = "one\ntwo more words\nthe words of a longer sentence , again\nand two more\n" * 3
SENTENCES = [line.split() for line in TEXT.splitlines()]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def _vectors(weights: BilmWeights, options: BilmOptions) -> np.ndarray:
    return np.concatenate([layers.reshape(-1) for layers in Bilm(options, weights).eval().embed(SENTENCES)])


def _covariance(rng: np.random.Generator, n: int) -> np.ndarray:
    samples = rng.standard_normal((3 * n, n))
    return np.asarray(samples.T @ samples / len(samples))


@given(st.integers(0, 1000), st.integers(2, 7), st.integers(1, 4), st.integers(1, 7))
def test_errors_are_those_of_least_squares(seed: int, n: int, p: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    matrix, covariance, root = rng.standard_normal((p, n)), _covariance(rng, n), rng.standard_normal((p, p))
    order, errors = removal_order(matrix, covariance, root, block)
    assert sorted(order) == list(range(n))

    def error(kept: Any) -> float:
        corrected = np.zeros_like(matrix)
        if len(kept):
            corrected[:, kept] = np.linalg.solve(covariance[np.ix_(kept, kept)], covariance[kept] @ matrix.T).T
        return float(np.linalg.norm(root.T @ (matrix - corrected) @ np.linalg.cholesky(covariance)) ** 2)

    np.testing.assert_allclose([error(np.sort(order[k:])) for k in range(1, n + 1)], errors, rtol=1e-6)
    for k, left in enumerate(errors):
        others = (error(np.delete(np.sort(order[k:]), one)) for one in range(n - k))
        np.testing.assert_allclose(left, min(others), rtol=1e-6)


def test_a_copy_of_a_cell_costs_nothing(text: Path) -> None:
    bilm = random_bilm()
    weights, n = bilm.weights(), bilm.options.lstm.dim
    doubled = np.concatenate([np.arange(n), np.arange(n)])
    rows = np.concatenate([gate * n + doubled for gate in range(4)])
    lstms = {}
    for key, lstm in weights.lstms.items():
        matrices = {target: np.asarray(matrix) for target, matrix in lstm.matrices.items()}
        halves = np.linspace(0.1, 0.9, n, dtype=np.float32)
        projection = np.concatenate([matrices["projection"] * halves, matrices["projection"] * (1 - halves)], axis=1)
        twice: Any = {"input": matrices["input"][rows], "recurrent": matrices["recurrent"][rows]}
        lstms[key] = replace(lstm, matrices=twice | {"projection": projection}, bias=lstm.bias[rows])
    options = replace(bilm.options, lstm=replace(bilm.options.lstm, dim=2 * n))
    smaller, fewer = remove_cells(replace(weights, lstms=lstms), options, n, text)
    assert fewer == bilm.options
    expected = _vectors(weights, bilm.options)
    np.testing.assert_allclose(_vectors(smaller, fewer), expected, atol=0.02 * np.abs(expected).max())


def test_the_result_is_an_elmo_with_fewer_cells(tmp_path: Path, text: Path) -> None:
    bilm = random_bilm()
    n = bilm.options.lstm.dim - 2
    weights, options = remove_cells(bilm.weights(), bilm.options, n, text)
    Bilm(options, weights).save(tmp_path)
    read = Bilm.from_files(tmp_path / "options.json", tmp_path / "weights.hdf5")
    assert read.options.lstm.dim == n
    np.testing.assert_array_equal(_vectors(read.weights(), read.options), _vectors(weights, options))


@pytest.mark.slow
def test_corrected_projections_are_closer(demo: Bilm, held_out: list[list[str]]) -> None:
    weights, options = remove_cells(demo.weights(), demo.options, 384)
    uncorrected = {}
    for key, lstm in weights.lstms.items():
        before, bias = demo.weights().lstms[key], demo.weights().lstms[key].bias
        kept = [int(np.flatnonzero(bias[: len(bias) // 4] == value)[0]) for value in lstm.bias[:384]]
        columns = np.asarray(before.matrices["projection"])[:, kept]
        uncorrected[key] = lstm.with_matrix("projection", columns)
    corrected, cut = (
        activation_error(demo, Bilm(options, one).eval(), held_out).overall
        for one in (weights, replace(weights, lstms=uncorrected))
    )
    assert corrected < 0.8 * cut


def test_what_the_loss_needs_is_kept(tmp_path: Path, text: Path) -> None:
    bilm = random_bilm(scale=3)
    weights, (p, n) = bilm.weights(), (bilm.options.lstm.projection_dim, bilm.options.lstm.dim)
    first = np.diag([1.0, *[0.0] * (p - 1)]).astype(np.float32)  # the loss reads the first output alone
    outputs = {(*key, "projection"): first for key in weights.lstms}
    outputs |= {(*key, "gates"): np.eye(4 * n, dtype=np.float32) for key in weights.lstms}
    rows: dict[Any, np.ndarray] = {
        (*key, target): np.ones(matrix.shape[0])
        for key, lstm in weights.lstms.items()
        for target, matrix in lstm.matrices.items()
    }
    gradients = tmp_path / "gradients.hdf5"
    write_row_weights(gradients, RowWeights(rows), {"words": 1}, OutputCovariances(outputs))

    def errors(gradients: Path | None) -> tuple[float, float]:
        smaller, options = remove_cells(weights, bilm.options, n // 3, text, gradients)
        encoders = Bilm(options, smaller).eval(), bilm
        found, expected = (np.concatenate(one.embed(SENTENCES), axis=1)[1] for one in encoders)
        error = ((found - expected) ** 2).mean(axis=0)
        return float(error[[0, p]].sum()), float(error.sum())

    by_loss, by_outputs = errors(gradients), errors(None)
    assert by_loss[0] < 0.8 * by_outputs[0]
    assert by_loss[1] > by_outputs[1]


@pytest.mark.parametrize("cells", [0, 12, 13])
def test_numbers_of_cells(cells: int) -> None:
    bilm = random_bilm()
    with pytest.raises(InputError, match=rf"^cells: found {cells}, expected 1 to 11, as the ELMo has 12$"):
        remove_cells(bilm.weights(), bilm.options, cells)


def test_factored_weights() -> None:
    bilm = random_bilm()
    factored = compress(bilm.weights(), bilm.options, Compression(method="svd", rank=1, targets="projection"))
    with rejected("cells", "found factored or pruned matrices"):
        remove_cells(factored, bilm.options, 2)


def test_without_projections() -> None:
    bilm = random_bilm()
    lstms = {
        key: replace(lstm, matrices={t: m for t, m in lstm.matrices.items() if t != "projection"})
        for key, lstm in bilm.weights().lstms.items()
    }
    with rejected("cells", "found an ELMo without projections"):
        remove_cells(replace(bilm.weights(), lstms=lstms), bilm.options, 2)
