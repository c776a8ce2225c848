"""Truncated singular value decomposition."""

from __future__ import annotations

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.factorize.base import NOTHING, Evidence, Method, balanced, register
from elmo_mf.factorize.decomposition import svd


@register("svd")
class Svd(Method):
    """The closest matrix of rank r in Frobenius and spectral norm (Eckart and Young 1936)."""

    def factorize(self, matrix: Array, rank: int, evidence: Evidence = NOTHING) -> Factors:
        u, s, vt = svd(self.weighted(matrix))
        return balanced(u[:, :rank] * s[:rank], vt[:rank])
