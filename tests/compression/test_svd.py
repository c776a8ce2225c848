"""Truncated SVD against the theory and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.decomposition import TruncatedSVD

from elmo_mf.bilm import Factors
from elmo_mf.compression import method_named

finite = st.floats(-100, 100, width=32)
matrices = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12), elements=finite)


def _svd(matrix: np.ndarray, rank: int) -> Factors:
    factors = method_named("svd").factorize(matrix, rank)
    assert isinstance(factors, Factors)
    return factors


@settings(max_examples=100, deadline=None)
@given(matrices, st.data())
def test_error_is_the_optimum(matrix: np.ndarray, data: st.DataObject) -> None:
    """Eckart and Young: the squared error is the sum of the squared singular values left out."""
    rank = data.draw(st.integers(1, min(matrix.shape)))
    factors = _svd(matrix, rank)
    assert factors.left.shape == (matrix.shape[0], rank) and factors.right.shape == (rank, matrix.shape[1])
    error = np.linalg.norm(matrix - factors.left.astype(np.float64) @ factors.right)
    left_out = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)[rank:]
    assert error == pytest.approx(np.sqrt((left_out**2).sum()), abs=1e-4 + 1e-5 * float(np.linalg.norm(matrix)))


@settings(max_examples=50, deadline=None)
@given(matrices)
def test_factors_are_balanced_and_full_rank_is_exact(matrix: np.ndarray) -> None:
    factors = _svd(matrix, min(matrix.shape))
    scale = max(1.0, float(np.abs(matrix).max()))
    np.testing.assert_allclose(factors.left @ factors.right, matrix, atol=1e-4 * scale)
    np.testing.assert_allclose(
        np.linalg.norm(factors.left, axis=0), np.linalg.norm(factors.right, axis=1), atol=1e-4 * scale
    )


def test_against_scikit_learn() -> None:
    matrix = np.random.default_rng(0).normal(size=(60, 20)).astype(np.float32)
    factors = _svd(matrix, 5)
    svd = TruncatedSVD(5, algorithm="arpack", random_state=0)
    expected = svd.fit_transform(matrix.astype(np.float64)) @ svd.components_
    np.testing.assert_allclose(factors.left @ factors.right, expected, atol=1e-5)


@pytest.mark.parametrize(
    "matrix", [np.zeros((4, 3)), np.ones((4, 3)), np.full((3, 3), 1e18), np.outer([1, 2, 3], [1e-18, 1])]
)
def test_degenerate_matrices(matrix: np.ndarray) -> None:
    factors = _svd(matrix.astype(np.float32), 1)
    np.testing.assert_allclose(factors.left @ factors.right, matrix, rtol=1e-5, atol=1e-12)
