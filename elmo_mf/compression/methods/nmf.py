"""Non-negative matrix factorization of matrices with negative entries, by scikit-learn."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression.methods.base import (
    NO_STATISTICS,
    CalibrationStatistics,
    Method,
    balanced,
    check_choice,
    positive,
    register,
)


@register("nmf")
@dataclass(frozen=True)
class Nmf(Method):
    """NMF (Lee and Seung 2001) by scikit-learn, for reference; weights have both signs and are made non-negative first.

    Attributes:
        form: `split` factorizes W+ and W- of W = W+ - W- with half of the rank each; at rank 1 only the one with the
            larger norm. `shift` factorizes W - min(W) with rank r - 1 and adds min(W) as a factor of rank 1.
        iterations: Maximum number of iterations.

    Examples:
        >>> import numpy as np
        >>> Nmf(form="shift").factorize(np.eye(4) - 0.5, rank=3).rank
        3
    """

    VERSION = 1

    form: str = "split"
    iterations: int = 50

    def __post_init__(self) -> None:
        check_choice("form", self.form, ("split", "shift"))
        positive("iterations", self.iterations, 1, whole=True)

    def factorize(self, matrix: Array, rank: int, statistics: CalibrationStatistics = NO_STATISTICS) -> Factors:
        """Factorize a matrix W.

        Args:
            matrix: W, (m, n).
            rank: Rank r of the factors, from 1 to min(m, n).
            statistics: Unused.

        Returns:
            Factors (m, r) and (r, n), in float32.
        """
        w = matrix.astype(np.float64)
        scale = np.abs(w).max() or 1.0
        parts = (self._split if self.form == "split" else self._shift)(w / scale, rank)
        left, right = np.concatenate([p[0] for p in parts], axis=1), np.concatenate([p[1] for p in parts])
        return balanced(left * scale, right)

    def _split(self, w: Array, rank: int) -> list[tuple[Array, Array]]:
        above, below = np.maximum(w, 0), np.maximum(-w, 0)
        larger = -(-rank // 2)
        ranks = (larger, rank - larger) if np.linalg.norm(above) >= np.linalg.norm(below) else (rank - larger, larger)
        (left, right), (minus_left, minus_right) = self._nmf(above, ranks[0]), self._nmf(below, ranks[1])
        return [(left, right), (-minus_left, minus_right)]

    def _shift(self, w: Array, rank: int) -> list[tuple[Array, Array]]:
        m, n = w.shape
        if rank == 1:
            return [(np.full((m, 1), w.mean()), np.ones((1, n)))]
        return [self._nmf(w - w.min(), rank - 1), (np.full((m, 1), w.min()), np.ones((1, n)))]

    def _nmf(self, x: Array, rank: int) -> tuple[Array, Array]:
        from sklearn.decomposition import NMF

        if rank == 0 or not x.any():
            return np.zeros((len(x), rank)), np.zeros((rank, x.shape[1]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged within `iterations`
            model = NMF(rank, init="nndsvda", max_iter=self.iterations, random_state=0, tol=1e-4)
            left = model.fit_transform(x)
        return left, model.components_
