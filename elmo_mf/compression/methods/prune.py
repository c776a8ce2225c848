"""Magnitude pruning, a baseline that saves parameters but no time."""

from __future__ import annotations

import numpy as np

from elmo_mf.bilm.weights import Array, Pruned
from elmo_mf.compression.methods.base import NO_STATISTICS, CalibrationStatistics, Method, register


@register("prune")
class Prune(Method):
    """Keeps the r (m + n) largest weights of a matrix, as many as factors of rank r have; all others stay zero.

    Unstructured pruning of each matrix separately, as in Han et al. 2015.

    Examples:
        >>> import numpy as np
        >>> Prune().factorize(np.arange(12.0).reshape(3, 4), rank=1).size
        7
    """

    VERSION = 1
    stays_dense = True

    def factorize(self, matrix: Array, rank: int, statistics: CalibrationStatistics = NO_STATISTICS) -> Pruned:
        """Prune a matrix.

        Args:
            matrix: (m, n).
            rank: Rank r of factors with as many parameters, at least 1.
            statistics: Unused.

        Returns:
            The matrix (m, n) in float32, with zeros in place of all but its largest weights.
        """
        keep = min(rank * sum(matrix.shape), matrix.size)
        order = np.argsort(-np.abs(matrix), axis=None, kind="stable")
        values = np.zeros(matrix.size, np.float32)
        values[order[:keep]] = matrix.ravel()[order[:keep]]
        return Pruned(values.reshape(matrix.shape))

    def error_reductions(self, matrix: Array, statistics: CalibrationStatistics = NO_STATISTICS) -> Array:
        """Sum the squares of m + n weights at a time, the largest first.

        Args:
            matrix: (m, n).
            statistics: Unused.

        Returns:
            The sum for each rank, starting with 1.
        """
        squares = np.sort(matrix.astype(np.float64).ravel() ** 2)[::-1]
        step = sum(matrix.shape)
        return np.add.reduceat(squares, np.arange(0, squares.size, step))
