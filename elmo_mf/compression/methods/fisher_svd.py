"""Singular value decomposition with rows weighted by what a task's loss says of them."""

from __future__ import annotations

import numpy as np

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression.methods.base import NOTHING, Evidence, balanced, register
from elmo_mf.compression.methods.truncation import SvdMethod

_LEAST = 1e-8  # of the largest weight: a row that no gradient reached is kept all the same


@register("fisher_svd")
class FisherSvd(SvdMethod):
    """FWSVD (Hsu et al. 2022): the factors of rank r with the least |D^(1/2) (W - A B)|_F.

    D holds each row's sum of the task gradient's second moments, which approximates the Fisher information. With
    D^(1/2) W = U S V^T, A = D^(-1/2) U_r S_r and B = V_r^T.
    """

    needs_gradients = True

    def truncated(self, u: Array, s: Array, vt: Array, matrix: Array, evidence: Evidence) -> Factors:
        return balanced(u * s / self._roots(evidence)[:, None], vt)

    def weighted(self, matrix: Array, evidence: Evidence = NOTHING) -> Array:
        return np.asarray(self._roots(evidence)[:, None] * matrix.astype(np.float64))

    def _roots(self, evidence: Evidence) -> Array:
        assert evidence.row_weights is not None
        weights = evidence.row_weights.astype(np.float64)
        largest = weights.max()
        return np.sqrt(np.maximum(weights / largest, _LEAST)) if largest > 0 else np.ones_like(weights)
