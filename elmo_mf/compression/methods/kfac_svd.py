"""Singular value decomposition weighted by a matrix's inputs and by a loss's gradients with respect to its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression._decomposition import square_root
from elmo_mf.compression.methods._truncation import SvdFactorizer, SvdMethod
from elmo_mf.compression.methods.base import NO_STATISTICS, CalibrationStatistics, balanced, positive, register

_LEAST_RIDGE = 1e-6  # of G, whose root is inverted


@register("kfac_svd")
@dataclass(frozen=True)
class KfacSvd(SvdMethod):
    """Factors of rank r with the least |G^(1/2) (W - A B) C^(1/2)|_F, where C = E[x x^T] and G = E[g g^T].

    x are the matrix's inputs and g the gradients of a loss with respect to its outputs, token by token. Half of the
    square is how much the loss rises where its curvature is the Kronecker product of C and G (K-FAC, Martens and Grosse
    2015). With R R^T = G and the left singular vectors U of R^T W C^(1/2), A = R^(-T) U_r and B = U_r^T R^T W.

    Attributes:
        ridge: Addition to the diagonal of C, as a share of its mean, for inputs that calibration did not see.
        output_ridge: Addition to the diagonal of G, as a share of its mean, for outputs with hardly any gradient.

    Examples:
        >>> import numpy as np
        >>> statistics = CalibrationStatistics(np.diag([1.0, 0.1, 0.0]), output_covariance=np.diag([1.0, 4.0, 0.0]))
        >>> KfacSvd().factorize(np.eye(3), rank=2, statistics=statistics).rank
        2
    """

    VERSION = 1
    needs_inputs = True
    needs_output_covariance = True

    ridge: float = 1e-3
    output_ridge: float = 1e-1

    def __post_init__(self) -> None:
        positive("ridge", self.ridge)
        positive("output_ridge", self.output_ridge, least=_LEAST_RIDGE)

    def prepare(self, matrix: Array, statistics: CalibrationStatistics = NO_STATISTICS) -> SvdFactorizer:
        """Prepare the factorization of one matrix at several ranks, for which R is computed once; see `Method.prepare`.

        Args:
            matrix: W, (m, n).
            statistics: The input covariance C, (n, n), and the output covariance G, (m, m).

        Returns:
            The factorization at any rank.
        """
        return _Factorizer(self, matrix, statistics)

    def weighted_matrix(self, matrix: Array, statistics: CalibrationStatistics = NO_STATISTICS) -> Array:
        """Compute R^T W C^(1/2).

        Args:
            matrix: W, (m, n).
            statistics: The input covariance C, (n, n), and the output covariance G, (m, m).

        Returns:
            (m, n), in float64.
        """
        assert statistics.input_covariance is not None
        weighted = self.output_root(statistics).T @ matrix.astype(np.float64)
        return np.asarray(weighted @ square_root(statistics.input_covariance, self.ridge))

    def factors_of_svd(
        self, u: Array, s: Array, vt: Array, matrix: Array, statistics: CalibrationStatistics
    ) -> Factors:
        """Build factors of rank r from the decomposition of R^T W C^(1/2).

        Args:
            u: U_r, (m, r).
            s: Unused.
            vt: Unused.
            matrix: W, (m, n).
            statistics: The output covariance G, (m, m).

        Returns:
            R^(-T) U_r (m, r) and U_r^T R^T W (r, n), in float32.
        """
        return _factors(self.output_root(statistics), u, matrix)

    def output_root(self, statistics: CalibrationStatistics) -> Array:
        """Return R with R R^T = G, (m, m), in float64."""
        assert statistics.output_covariance is not None
        return square_root(statistics.output_covariance, self.output_ridge)


@dataclass(frozen=True)
class _Factorizer(SvdFactorizer):
    """Computes R once for all ranks."""

    method: KfacSvd

    @cached_property
    def _root(self) -> Array:
        return self.method.output_root(self.statistics)

    def factors(self, rank: int) -> Factors:
        """See `Method.factorize`."""
        return _factors(self._root, self._svd.first(rank)[0], self.matrix)


def _factors(root: Array, u: Array, matrix: Array) -> Factors:
    left = np.linalg.solve(root.T, u)
    return balanced(left, (root @ u).T @ matrix.astype(np.float64))
