"""A random subspace: the floor that every method must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression.methods.base import NOTHING, Evidence, Method, balanced, positive, register


@register("random")
@dataclass(frozen=True)
class RandomSubspace(Method):
    """W Q Q^T, with Q (n, r) an orthonormal basis of a uniformly random subspace; the same one for every matrix of n.

    Attributes:
        seed: of the subspace.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        positive("seed", self.seed, whole=True)

    def factorize(self, matrix: Array, rank: int, evidence: Evidence = NOTHING) -> Factors:
        n = matrix.shape[1]
        q, _ = np.linalg.qr(np.random.default_rng([self.seed, n]).normal(size=(n, rank)))
        return balanced(matrix.astype(np.float64) @ q, q.T)
