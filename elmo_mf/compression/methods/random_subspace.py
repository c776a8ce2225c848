"""Projection onto a random subspace, the baseline that every method must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression.methods.base import (
    NO_STATISTICS,
    CalibrationStatistics,
    Method,
    balanced,
    positive,
    register,
)


@register("random")
@dataclass(frozen=True)
class RandomSubspace(Method):
    """W Q Q^T, where the columns of Q (n, r) are an orthonormal basis of a uniformly random subspace.

    Matrices with equal n get the same subspace.

    Attributes:
        seed: Seed of the subspace.

    Examples:
        >>> import numpy as np
        >>> RandomSubspace(seed=1).factorize(np.eye(3), rank=2).rank
        2
    """

    VERSION = 1

    seed: int = 0

    def __post_init__(self) -> None:
        positive("seed", self.seed, whole=True)

    def factorize(self, matrix: Array, rank: int, statistics: CalibrationStatistics = NO_STATISTICS) -> Factors:
        """Project the rows of a matrix W.

        Args:
            matrix: W, (m, n).
            rank: Dimension r of the subspace, from 1 to n.
            statistics: Unused.

        Returns:
            W Q (m, r) and Q^T (r, n), in float32.
        """
        n = matrix.shape[1]
        q, _ = np.linalg.qr(np.random.default_rng([self.seed, n]).normal(size=(n, rank)))
        return balanced(matrix.astype(np.float64) @ q, q.T)
