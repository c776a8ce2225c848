"""Magnitude pruning: the competitor, which saves parameters and no time."""

from __future__ import annotations

import numpy as np

from elmo_mf.bilm.weights import Array, Pruned
from elmo_mf.compression.methods.base import NOTHING, Evidence, Method, register


@register("prune")
class Prune(Method):
    """The largest weights of a matrix, as many as factors of rank r have: r (m + n). The others are zero for good.

    Unstructured, as in Han et al. 2015, and each matrix by itself.
    """

    stays_dense = True

    def factorize(self, matrix: Array, rank: int, evidence: Evidence = NOTHING) -> Pruned:
        keep = min(rank * sum(matrix.shape), matrix.size)
        order = np.argsort(-np.abs(matrix), axis=None, kind="stable")
        values = np.zeros(matrix.size, np.float32)
        values[order[:keep]] = matrix.ravel()[order[:keep]]
        return Pruned(values.reshape(matrix.shape))

    def energies(self, matrix: Array, evidence: Evidence = NOTHING) -> Array:
        """Of m + n weights at a time."""
        squares = np.sort(matrix.astype(np.float64).ravel() ** 2)[::-1]
        step = sum(matrix.shape)
        return np.add.reduceat(squares, np.arange(0, squares.size, step))
