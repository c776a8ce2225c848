"""Singular values and vectors against NumPy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from elmo_mf.bilm.weights import Array
from elmo_mf.compression._decomposition import singular_values, svd

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
