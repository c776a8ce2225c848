"""Singular value decomposition weighted by a matrix's input covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression._decomposition import square_root
from elmo_mf.compression.methods._truncation import SvdMethod
from elmo_mf.compression.methods.base import NO_STATISTICS, CalibrationStatistics, balanced, positive, register


@register("whitened_svd")
@dataclass(frozen=True)
class WhitenedSvd(SvdMethod):
    """Factors of rank r with the least E|W x - A B x|^2 = |(W - A B) C^(1/2)|_F^2, where C = E[x x^T].

    As in DRONE (Chen et al. 2021) and SVD-LLM (Wang et al. 2024). With a Cholesky factor C^(1/2) and the left singular
    vectors U of W C^(1/2), A = U_r and B = U_r^T W; this form needs no inverse of C.

    Attributes:
        ridge: Addition to the diagonal of C, as a share of its mean, for inputs that calibration did not see.

    Examples:
        >>> import numpy as np
        >>> statistics = CalibrationStatistics(input_covariance=np.diag([1.0, 0.1, 0.0]))
        >>> WhitenedSvd(ridge=1e-2).factorize(np.eye(3), rank=2, statistics=statistics).rank
        2
    """

    VERSION = 1
    needs_inputs = True

    ridge: float = 1e-3

    def __post_init__(self) -> None:
        positive("ridge", self.ridge)

    def factors_of_svd(
        self, u: Array, s: Array, vt: Array, matrix: Array, statistics: CalibrationStatistics
    ) -> Factors:
        """Build factors of rank r from the decomposition of W C^(1/2).

        Args:
            u: U_r, (m, r).
            s: Unused.
            vt: Unused.
            matrix: W, (m, n).
            statistics: Unused.

        Returns:
            U_r (m, r) and U_r^T W (r, n), in float32.
        """
        return balanced(u, u.T @ matrix.astype(np.float64))

    def weighted_matrix(self, matrix: Array, statistics: CalibrationStatistics = NO_STATISTICS) -> Array:
        """Compute W C^(1/2).

        Args:
            matrix: W, (m, n).
            statistics: The input covariance C, (n, n).

        Returns:
            (m, n), in float64.
        """
        assert statistics.input_covariance is not None
        return np.asarray(matrix.astype(np.float64) @ square_root(statistics.input_covariance, self.ridge))
