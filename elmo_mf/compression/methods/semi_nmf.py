"""Semi-nonnegative matrix factorization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression.decomposition import svd
from elmo_mf.compression.methods.base import NOTHING, Evidence, Method, balanced, one_of, positive, register

_EPSILON = 1e-12


@register("semi_nmf")
@dataclass(frozen=True)
class SemiNmf(Method):
    """X = F G^T with F of any sign and G >= 0, least in |X - F G^T|_F (Ding, Li, Jordan 2010).

    Alternating, from a start that is always the same: F = X G (G^T G)^+ is the best for a given G, then each element of
    G is multiplied by the root of ((X^T F)^+ + G (F^T F)^-) / ((X^T F)^- + G (F^T F)^+), which never raises the error.

    Attributes:
        nonnegative: which factor is G: `right` (X = W, with coefficients for each input) or `left` (X = W^T).
        start: `svd`, the positive parts of the singular vectors, or `kmeans`, clusters of X's columns (as Ding et al.
            do).
        iterations: at most.
        tolerance: stop when an iteration lowers the error by less than this share of |X|_F.
    """

    nonnegative: str = "right"
    start: str = "svd"
    iterations: int = 200
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        one_of("nonnegative", self.nonnegative, ("left", "right"))
        one_of("start", self.start, ("svd", "kmeans"))
        positive("iterations", self.iterations, 1, whole=True)
        positive("tolerance", self.tolerance)

    def factorize(self, matrix: Array, rank: int, evidence: Evidence = NOTHING) -> Factors:
        x = matrix.astype(np.float64)
        f, g, _ = self.alternate(x if self.nonnegative == "right" else x.T, rank)
        return balanced(f, g.T) if self.nonnegative == "right" else balanced(g, f.T)

    def alternate(self, x: Array, rank: int) -> tuple[Array, Array, list[float]]:
        """F (m, r), G (n, r), and |X - F G^T|_F / |X|_F of each iteration."""
        norm = np.linalg.norm(x)
        if norm == 0:
            return np.zeros((len(x), rank)), np.ones((x.shape[1], rank)), [0.0]
        x = x / norm
        moments = x.T @ x if x.shape[1] <= len(x) else None  # then no iteration sees the long side
        now = _Fit.of(self._start(x, rank), x, moments)
        errors = [now.error]
        for _ in range(self.iterations):
            above = np.maximum(now.cross, 0) + now.g @ np.maximum(-now.own, 0)
            below = np.maximum(-now.cross, 0) + now.g @ np.maximum(now.own, 0)
            ratio = (above + _EPSILON * above.max()) / (below + _EPSILON * below.max())
            better = _Fit.of(now.g * np.sqrt(ratio), x, moments)
            if better.error > now.error:  # by rounding, where nothing is left to gain
                break
            now = better
            errors.append(now.error)
            if errors[-2] - errors[-1] < self.tolerance:
                break
        return x @ now.basis * norm, now.g, errors

    def _start(self, x: Array, rank: int) -> Array:
        if self.start == "kmeans":
            return _clusters(x, rank)
        _, s, vt = svd(x)
        v = vt[:rank].T
        signs = np.sign((v**3).sum(axis=0))
        g = np.maximum(v * np.where(signs == 0, 1, signs), 0) + 0.01 * np.abs(v).mean()
        return np.asarray(g * np.sqrt(np.maximum(s[:rank], _EPSILON)))


def _clusters(x: Array, rank: int) -> Array:
    """Indicators of k-means clusters of the columns, plus 0.2."""
    from sklearn.cluster import KMeans

    distinct = len(np.unique(x.T, axis=0))
    labels = KMeans(min(rank, distinct), n_init=3, random_state=0).fit_predict(x.T)
    g = np.full((x.shape[1], rank), 0.2)
    g[np.arange(len(labels)), labels] += 1
    return g


class _Fit(NamedTuple):
    """G with the F that is best for it: F = X `basis`, `cross` = X^T F, `own` = F^T F, `error` = |X - F G^T|_F."""

    g: Array
    basis: Array
    cross: Array
    own: Array
    error: float

    @classmethod
    def of(cls, g: Array, x: Array, moments: Array | None) -> _Fit:
        """For X of norm 1; `moments` is X^T X where that is the smaller."""
        gram = g.T @ g
        basis = g @ np.linalg.pinv(gram, rcond=1e-12, hermitian=True)
        cross = x.T @ (x @ basis) if moments is None else moments @ basis
        own = basis.T @ cross
        squared = 1 - 2 * np.vdot(cross, g) + np.vdot(own, gram)
        return cls(g, basis, cross, own, float(np.sqrt(max(0.0, squared))))
