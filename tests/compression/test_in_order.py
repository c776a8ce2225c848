"""Factors that are fitted to the inputs behind the factors before them, on the embedded ELMo and on small ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmo_mf import Bilm, Compression
from elmo_mf.compression import check_compression, compress, matrix_references, method_named, read_compression
from elmo_mf.compression._matrix_factorization import LstmFactorization
from elmo_mf.compression.calibration import input_covariances
from elmo_mf.compression.calibration._partial_forward import PartialForward
from elmo_mf.compression.methods.base import NO_STATISTICS
from tests.compression.conftest import error_of
from tests.conftest import random_bilm, rejected

TEXT = "one\ntwo more words\nthe words of a longer sentence , again\nand two more\n" * 3


def _factorization(bilm: Bilm) -> LstmFactorization:
    weights = bilm.weights()
    (reference,) = matrix_references(
        weights, Compression(method="svd", rank=1, targets="input", layers=[0], directions="forward")
    )
    return LstmFactorization(reference, method_named("svd"), NO_STATISTICS, reference.matrix(weights))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_the_fit_is_that_of_least_squares(seed: int, noise: float) -> None:
    """The ridge is small beside inputs that fill the space."""
    one = _factorization(random_bilm())
    rng, n = np.random.default_rng(seed), one.matrix.shape[1]
    x = rng.standard_normal((40 * n, n))
    other = x @ (np.eye(n) + 0.1 * rng.standard_normal((n, n))) + noise * rng.standard_normal(x.shape)
    expected = np.linalg.lstsq(other, x @ one.matrix.T, rcond=None)[0].T
    fitted = one.fitted(other.T @ other / len(x), x.T @ other / len(x))
    difference = np.linalg.norm((fitted.matrix - expected) @ other.T) / np.linalg.norm(one.matrix @ x.T)
    assert difference < 5e-3
    assert fitted.statistics.input_covariance is not None


@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize("highways", [None, 2])
def test_moments_of_other_weights(skips: bool, highways: int | None, tmp_path: Any) -> None:
    dense = random_bilm(use_skip_connections=skips, n_layers=3)
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    weights, sentences = dense.weights(), [line.split() for line in TEXT.splitlines()]
    chosen: dict[str, Any] = {"layers": [0, 1], "highway_rank": highways}
    other = compress(weights, dense.options, Compression(method="svd", rank=3, targets="joint+projection", **chosen))
    forward = PartialForward(weights, dense.options, sentences)
    expected, actual = (input_covariances(one, dense.options, path) for one in (weights, other))
    for layer in range(3):
        same, paired = forward.paired_covariances(weights, layer), forward.paired_covariances(other, layer)
        for key in ((0, layer), (1, layer)):
            for name in ("gates", "cells"):
                compressed, cross = (getattr(one, name) for one in (paired[key].compressed, paired[key].cross))
                np.testing.assert_allclose(compressed, getattr(actual[key], name), rtol=1e-3, atol=1e-6)
                for covariance in (same[key].compressed, same[key].cross):
                    np.testing.assert_allclose(
                        getattr(covariance, name), getattr(expected[key], name), rtol=1e-3, atol=1e-6
                    )
                # E|x - x'|^2 cannot be negative
                a, b = (np.trace(getattr(one[key], name)) for one in (expected, actual))
                assert 2 * np.trace(cross) <= (a + b) * (1 + 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["all", "joint+projection"])
def test_errors_on_other_text_are_smaller(targets: str, demo: Bilm, held_out: list[list[str]]) -> None:
    plain, in_order = (
        error_of(demo, Compression(method="whitened_svd", rank=12, targets=targets, inputs=inputs), held_out)
        for inputs in ("dense", "compressed")
    )
    assert in_order < 0.99 * plain


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"granularity": "gate"}])
def test_full_ranks_change_nothing(more: dict[str, Any], demo: Bilm, held_out: list[list[str]]) -> None:
    shapes = {target: matrix.shape for target, matrix in demo.weights().lstms[0, 0].matrices.items()}
    ranks: dict[str, int] = {
        target: min(m // 4 if more and target != "projection" else m, n) for target, (m, n) in shapes.items()
    }
    compression = Compression(
        method="whitened_svd", rank=ranks, targets="all", allow_larger=True, inputs="compressed", **more
    )
    assert error_of(demo, compression, held_out) < 1e-3


@pytest.mark.slow
def test_a_budget_gives_the_same_ranks(demo: Bilm, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    text, shapes = str(tmp_path / "text.txt"), []
    for inputs in ("dense", "compressed"):
        compression = Compression(
            method="whitened_svd",
            budget={"share": 0.3},
            targets="all",
            highway_rank="budget",
            inputs=inputs,
            calibration=text,
        )
        weights = compress(demo.weights(), demo.options, compression)
        matrices = [matrix for lstm in weights.lstms.values() for matrix in lstm.matrices.values()]
        shapes.append([(matrix.shape, getattr(matrix, "rank", None)) for matrix in matrices])
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    "keys", [{"highway_rank": 4}, {"method": "svd", "rank": 2, "targets": "all"}], ids=["highways alone", "svd"]
)
def test_what_has_no_inputs_to_fit(keys: dict[str, Any], demo: Bilm) -> None:
    with rejected("compression.inputs"):
        check_compression(demo.weights(), read_compression(keys | {"inputs": "compressed"}))
