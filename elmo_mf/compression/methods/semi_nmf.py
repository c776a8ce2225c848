"""Semi-nonnegative matrix factorization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression._decomposition import svd
from elmo_mf.compression.methods.base import (
    NO_STATISTICS,
    CalibrationStatistics,
    Method,
    balanced,
    check_choice,
    positive,
    register,
)

_EPSILON = 1e-12


@register("semi_nmf")
@dataclass(frozen=True)
class SemiNmf(Method):
    """Semi-NMF (Ding, Li and Jordan 2010): X = F G^T with F of any sign and G >= 0, minimising |X - F G^T|_F.

    It alternates from a deterministic start: F = X G (G^T G)^+ is the best for a given G; then each element of G is
    multiplied by the root of ((X^T F)^+ + G (F^T F)^-) / ((X^T F)^- + G (F^T F)^+), which never raises the error.

    Attributes:
        nonnegative: Which factor is G: `right` (X = W) or `left` (X = W^T).
        start: `svd`, the positive parts of the singular vectors; `kmeans`, clusters of the columns of X (as Ding et al.
            do); or `random`, uniform numbers between 0 and 1.
        seed: Seed of the start `random`.
        iterations: Maximum number of iterations.
        tolerance: Stop when an iteration lowers the error by less than this share of |X|_F.

    Examples:
        >>> import numpy as np
        >>> bool((SemiNmf().factorize(np.eye(4) - 0.5, rank=2).right >= 0).all())
        True
    """

    VERSION = 1

    nonnegative: str = "right"
    start: str = "svd"
    iterations: int = 200
    tolerance: float = 1e-5
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("nonnegative", self.nonnegative, ("left", "right"))
        check_choice("start", self.start, ("svd", "kmeans", "random"))
        positive("iterations", self.iterations, 1, whole=True)
        positive("tolerance", self.tolerance)
        positive("seed", self.seed, whole=True)

    def factorize(self, matrix: Array, rank: int, statistics: CalibrationStatistics = NO_STATISTICS) -> Factors:
        """Factorize a matrix W.

        Args:
            matrix: W, (m, n).
            rank: Rank r of the factors, from 1 to min(m, n).
            statistics: Unused.

        Returns:
            Factors (m, r) and (r, n) in float32, of which the one that `nonnegative` names has no negative entry.
        """
        x = matrix.astype(np.float64)
        f, g, _ = self.alternate(x if self.nonnegative == "right" else x.T, rank)
        return balanced(f, g.T) if self.nonnegative == "right" else balanced(g, f.T)

    def alternate(self, x: Array, rank: int) -> tuple[Array, Array, list[float]]:
        """Factorize X.

        Args:
            x: X, (m, n).
            rank: Rank r of the factors.

        Returns:
            F (m, r), G (n, r), and |X - F G^T|_F / |X|_F after each iteration.
        """
        norm = np.linalg.norm(x)
        if norm == 0:
            return np.zeros((len(x), rank)), np.ones((x.shape[1], rank)), [0.0]
        x = x / norm
        gram_of_x = x.T @ x if x.shape[1] <= len(x) else None  # then iterations do not depend on the longer side
        now = _Fit.of(self._start(x, rank), x, gram_of_x)
        errors = [now.error]
        for _ in range(self.iterations):
            above = np.maximum(now.cross, 0) + now.g @ np.maximum(-now.gram, 0)
            below = np.maximum(-now.cross, 0) + now.g @ np.maximum(now.gram, 0)
            ratio = (above + _EPSILON * above.max()) / (below + _EPSILON * below.max())
            better = _Fit.of(now.g * np.sqrt(ratio), x, gram_of_x)
            if better.error > now.error:  # by rounding, at the minimum
                break
            now = better
            errors.append(now.error)
            if errors[-2] - errors[-1] < self.tolerance:
                break
        return x @ now.basis * norm, now.g, errors

    def _start(self, x: Array, rank: int) -> Array:
        if self.start == "kmeans":
            return _clusters(x, rank)
        if self.start == "random":
            return np.random.default_rng(self.seed).random((x.shape[1], rank))
        _, s, vt = svd(x)
        v = vt[:rank].T
        signs = np.sign((v**3).sum(axis=0))
        g = np.maximum(v * np.where(signs == 0, 1, signs), 0) + 0.01 * np.abs(v).mean()
        return np.asarray(g * np.sqrt(np.maximum(s[:rank], _EPSILON)))


def _clusters(x: Array, rank: int) -> Array:
    """Indicators of k-means clusters of the columns, plus 0.2 (Ding et al. 2010)."""
    from sklearn.cluster import KMeans

    distinct = len(np.unique(x.T, axis=0))
    labels = KMeans(min(rank, distinct), n_init=3, random_state=0).fit_predict(x.T)
    g = np.full((x.shape[1], rank), 0.2)
    g[np.arange(len(labels)), labels] += 1
    return g


class _Fit(NamedTuple):
    """G with the best F = X `basis` for it; `cross` = X^T F, `gram` = F^T F, `error` = |X - F G^T|_F."""

    g: Array
    basis: Array
    cross: Array
    gram: Array
    error: float

    @classmethod
    def of(cls, g: Array, x: Array, gram_of_x: Array | None) -> _Fit:
        """Fit F to G, for X of norm 1; `gram_of_x` is X^T X, or None if X is the smaller of the two."""
        gram_of_g = g.T @ g
        basis = g @ np.linalg.pinv(gram_of_g, rcond=1e-12, hermitian=True)
        cross = x.T @ (x @ basis) if gram_of_x is None else gram_of_x @ basis
        gram = basis.T @ cross
        squared = 1 - 2 * np.vdot(cross, g) + np.vdot(gram, gram_of_g)
        return cls(g, basis, cross, gram, float(np.sqrt(max(0.0, squared))))
