"""Singular value decomposition with rows weighted by their importance for a task's loss."""

from __future__ import annotations

import numpy as np

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression.methods._truncation import SvdMethod
from elmo_mf.compression.methods.base import NO_STATISTICS, CalibrationStatistics, balanced, register

_LEAST = 1e-8  # of the largest weight, so that rows without gradients are approximated as well


@register("fisher_svd")
class FisherSvd(SvdMethod):
    """FWSVD (Hsu et al. 2022): factors of rank r with the least |D^(1/2) (W - A B)|_F.

    D is diagonal and holds each row's sum of the second moments of the task's gradients, an approximation of the Fisher
    information. With D^(1/2) W = U S V^T, A = D^(-1/2) U_r S_r and B = V_r^T.

    Examples:
        >>> import numpy as np
        >>> statistics = CalibrationStatistics(row_weights=np.array([1.0, 4.0, 0.0]))
        >>> FisherSvd().factorize(np.eye(3), rank=1, statistics=statistics).shape
        (3, 3)
    """

    VERSION = 1
    needs_gradients = True

    def factors_of_svd(
        self, u: Array, s: Array, vt: Array, matrix: Array, statistics: CalibrationStatistics
    ) -> Factors:
        """Build factors of rank r from the decomposition of D^(1/2) W.

        Args:
            u: U_r, (m, r).
            s: The diagonal of S_r, (r,).
            vt: V_r^T, (r, n).
            matrix: Unused.
            statistics: The row weights, the diagonal of D, (m,).

        Returns:
            D^(-1/2) U_r S_r (m, r) and V_r^T (r, n), in float32.
        """
        return balanced(u * s / self._roots(statistics)[:, None], vt)

    def weighted_matrix(self, matrix: Array, statistics: CalibrationStatistics = NO_STATISTICS) -> Array:
        """Compute D^(1/2) W, up to a factor: D is relative to its largest entry.

        Args:
            matrix: W, (m, n).
            statistics: The row weights, the diagonal of D, (m,).

        Returns:
            (m, n), in float64.
        """
        return np.asarray(self._roots(statistics)[:, None] * matrix.astype(np.float64))

    def _roots(self, statistics: CalibrationStatistics) -> Array:
        """The diagonal of D^(1/2), relative to its largest entry."""
        assert statistics.row_weights is not None
        weights = statistics.row_weights.astype(np.float64)
        largest = weights.max()
        return np.sqrt(np.maximum(weights / largest, _LEAST)) if largest > 0 else np.ones_like(weights)
