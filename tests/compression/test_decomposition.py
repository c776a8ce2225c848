"""Singular values and vectors against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from elmo_mf.bilm.weights import Array
from elmo_mf.compression._decomposition import GramSvd, decomposition, is_large, singular_values, svd

values = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)
matrices = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20), elements=values)


@given(matrices)
def test_against_numpy(matrix: Array) -> None:
    expected = np.linalg.svd(matrix, compute_uv=False)
    most = 1e-12 * max(1.0, float(expected[0]))
    u, s, vt = svd(matrix)
    np.testing.assert_allclose(s, expected, atol=most)
    np.testing.assert_allclose(singular_values(matrix), expected, atol=most)
    np.testing.assert_allclose((u * s) @ vt, matrix, atol=10 * most)
    for vectors in (u.T @ u, vt @ vt.T):
        np.testing.assert_allclose(vectors, np.eye(len(s)), atol=1e-12)


@example(np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [524288.281, 0.0, 127100.0]]))
@given(matrices)
def test_a_gram_matrix_has_half_the_digits(matrix: Array) -> None:
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    gram = GramSvd.of(matrix)
    np.testing.assert_allclose(gram.values, s, atol=1e-7 * max(1e-6, float(s[0])))
    for rank in range(1, len(s) + 1):
        first = gram.first(rank)
        assert [part.shape for part in first] == [(len(u), rank), (rank,), (rank, vt.shape[1])]
        left_out = np.linalg.norm(matrix - (first[0] * first[1]) @ first[2])
        assert left_out <= np.linalg.norm(s[rank:]) + 1e-5 * s[0]
        for vectors in (first[0].T @ first[0], first[2] @ first[2].T):
            assert np.abs(vectors - np.eye(rank)).max() < 1e-2


@pytest.mark.parametrize("shape", [(1 << 14, 256), (256, 1 << 14)])
def test_large_matrices_are_decomposed_by_their_gram_matrices(shape: tuple[int, int]) -> None:
    """Ranks are chosen by squared singular values: these agree as well as float32 could say."""
    matrix = np.random.default_rng(0).normal(size=shape) * np.geomspace(1, 1e-3, shape[1])
    exact = np.linalg.svd(matrix, compute_uv=False)
    large = decomposition(matrix)
    assert is_large(matrix) and isinstance(large, GramSvd)
    for values in (large.values, singular_values(matrix)):
        np.testing.assert_allclose(values, exact, rtol=1e-6)
    u, s, vt = large.first(32)
    assert np.linalg.norm(matrix - (u * s) @ vt) == pytest.approx(np.linalg.norm(exact[32:]), rel=1e-6)
    assert not is_large(matrix[:255, :255])
