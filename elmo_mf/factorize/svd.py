"""Truncated singular value decomposition."""

from __future__ import annotations

import numpy as np

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.factorize.base import Method, register


@register("svd")
class Svd(Method):
    """The closest matrix of rank r in Frobenius and spectral norm (Eckart and Young 1936).

    With W = U S V^T, left = U_r S_r^(1/2) and right = S_r^(1/2) V_r^T, so that both factors have the same norms.
    """

    def factorize(self, matrix: Array, rank: int) -> Factors:
        u, s, vt = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
        root = np.sqrt(s[:rank])
        return Factors((u[:, :rank] * root).astype(np.float32), (root[:, None] * vt[:rank]).astype(np.float32))
