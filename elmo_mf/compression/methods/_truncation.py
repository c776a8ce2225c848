"""Base class of methods that truncate a singular value decomposition."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression._decomposition import Svd, decomposition
from elmo_mf.compression.methods.base import NO_STATISTICS, CalibrationStatistics, Factorizer, Method


class SvdMethod(Method):
    """A method whose factors of every rank come from one singular value decomposition, that of `weighted_matrix`."""

    def factorize(self, matrix: Array, rank: int, statistics: CalibrationStatistics = NO_STATISTICS) -> Factors:
        """Factorize a matrix, see `Method.factorize`."""
        return self.prepare(matrix, statistics).factors(rank)

    def prepare(self, matrix: Array, statistics: CalibrationStatistics = NO_STATISTICS) -> SvdFactorizer:
        """Prepare the factorization of one matrix at several ranks, see `Method.prepare`."""
        return SvdFactorizer(self, matrix, statistics)

    @abstractmethod
    def factors_of_svd(
        self, u: Array, s: Array, vt: Array, matrix: Array, statistics: CalibrationStatistics
    ) -> Factors:
        """Build factors of rank r.

        Args:
            u: The first r left singular vectors of the weighted matrix, (m, r).
            s: Its r largest singular values, (r,), in falling order.
            vt: The first r right singular vectors, (r, n).
            matrix: The matrix itself, (m, n).
            statistics: Its calibration statistics.

        Returns:
            Factors (m, r) and (r, n), in float32.
        """


@dataclass(frozen=True)
class SvdFactorizer(Factorizer):
    """The factorization of one matrix, with one decomposition for all ranks."""

    method: SvdMethod

    @cached_property
    def error_reductions(self) -> Array:
        """The squared singular values."""
        return self._svd.values**2

    def factors(self, rank: int) -> Factors:
        """Return the factors of a rank, see `Method.factorize`."""
        return self.method.factors_of_svd(*self._svd.first(rank), self.matrix, self.statistics)

    @cached_property
    def _svd(self) -> Svd:
        return decomposition(self.method.weighted_matrix(self.matrix, self.statistics))
