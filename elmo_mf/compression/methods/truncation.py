"""What methods have in common that truncate a singular value decomposition."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression.decomposition import svd
from elmo_mf.compression.methods.base import NOTHING, AnyRank, Evidence, Method


class SvdMethod(Method):
    """A method whose factors of all ranks come from one singular value decomposition, that of the weighted matrix."""

    def factorize(self, matrix: Array, rank: int, evidence: Evidence = NOTHING) -> Factors:
        return self.at_any_rank(matrix, evidence).factors(rank)

    def at_any_rank(self, matrix: Array, evidence: Evidence = NOTHING) -> Truncations:
        return Truncations(self, matrix, evidence)

    @abstractmethod
    def truncated(self, u: Array, s: Array, vt: Array, matrix: Array, evidence: Evidence) -> Factors:
        """Factors of rank r, by the first r singular values and vectors: U (m, r), s (r,) and V^T (r, n)."""


@dataclass(frozen=True)
class Truncations(AnyRank):
    """With one decomposition for all ranks."""

    method: SvdMethod

    @cached_property
    def energies(self) -> Array:
        return self._svd[1] ** 2

    def factors(self, rank: int) -> Factors:
        u, s, vt = self._svd
        return self.method.truncated(u[:, :rank], s[:rank], vt[:rank], self.matrix, self.evidence)

    @cached_property
    def _svd(self) -> tuple[Array, Array, Array]:
        return svd(self.method.weighted(self.matrix, self.evidence))
