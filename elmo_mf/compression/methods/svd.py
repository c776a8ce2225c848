"""Truncated singular value decomposition."""

from __future__ import annotations

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression.methods._truncation import SvdMethod
from elmo_mf.compression.methods.base import CalibrationStatistics, balanced, register


@register("svd")
class Svd(SvdMethod):
    """The closest matrix of rank r in Frobenius and in spectral norm (Eckart and Young 1936).

    With the singular value decomposition W = U S V^T, A = U_r S_r and B = V_r^T.

    Examples:
        >>> import numpy as np
        >>> Svd().factorize(np.diag([3.0, 2.0, 1.0]), rank=2).rank
        2
    """

    VERSION = 1

    def factors_of_svd(
        self, u: Array, s: Array, vt: Array, matrix: Array, statistics: CalibrationStatistics
    ) -> Factors:
        """Build factors of rank r from the decomposition of the matrix W.

        Args:
            u: U_r, (m, r).
            s: The diagonal of S_r, (r,).
            vt: V_r^T, (r, n).
            matrix: Unused.
            statistics: Unused.

        Returns:
            U_r S_r (m, r) and V_r^T (r, n), in float32.
        """
        return balanced(u * s, vt)
