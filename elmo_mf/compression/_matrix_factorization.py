"""A matrix of the LSTMs, the method that factorizes it, and its calibration statistics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from elmo_mf.bilm.weights import JOINT, Array, BilmWeights, Factors, LstmWeights, Pruned
from elmo_mf.compression.allocation import Candidate
from elmo_mf.compression.matrix_reference import MatrixReference
from elmo_mf.compression.methods.base import CalibrationStatistics, Factorizer, Method

_RIDGE = 1e-3  # as a share of the mean squared input


@dataclass(frozen=True)
class LstmFactorization:
    """The factorization of one matrix of an LSTM, or of each gate's rows separately.

    Attributes:
        reference: Which matrix.
        method: The factorization method.
        statistics: Calibration statistics of the matrix.
        matrix: The dense matrix, (m, n).
    """

    reference: MatrixReference
    method: Method
    statistics: CalibrationStatistics
    matrix: Array

    @cached_property
    def candidate(self) -> Candidate:
        """Error reductions relative to the matrix's squared norm, and costs."""
        total = float(sum(block.error_reductions.sum() for block in self._blocks))
        return Candidate.relative(self._error_reductions, total, self._most, self.reference.cost)

    @property
    def loss_candidate(self) -> Candidate:
        """Error reductions in the loss of a method that uses output covariances, and costs."""
        return Candidate(self._error_reductions, self.reference.cost)

    @property
    def _most(self) -> int:
        return self.reference.largest_useful_rank

    @cached_property
    def _error_reductions(self) -> Array:
        return np.asarray(np.sum([block.error_reductions[: self._most] for block in self._blocks], axis=0))

    def fitted(self, compressed: Array, cross: Array) -> LstmFactorization:
        """Replace the matrix W by the M with the least E|W x - M x'|^2, whose factors fit inputs x' in place of x.

        By the normal equations, M = W E[x x'^T] E[x' x'^T]^(-1). Additions to both diagonals keep M close to W for
        inputs that calibration did not see.

        Args:
            compressed: E[x' x'^T], (n, n).
            cross: E[x x'^T], (n, n).
        """
        ridge = _RIDGE * np.trace(compressed) / len(compressed) * np.eye(len(compressed))
        outputs = self.matrix.astype(np.float64) @ (cross + ridge)
        matrix = np.linalg.solve(compressed + ridge, outputs.T).T  # `compressed` is symmetric
        statistics = replace(self.statistics, input_covariance=compressed)
        return replace(self, matrix=matrix.astype(np.float32), statistics=statistics)

    def factored(self, weights: BilmWeights, rank: int) -> BilmWeights:
        """Replace the matrix of `weights` by factors."""
        key = self.reference.key
        lstm = self._replaced(weights.lstms[key], self._factorized(rank))
        return replace(weights, lstms={**weights.lstms, key: lstm})

    def _factorized(self, rank: int) -> Factors | Pruned:
        blocks = [block.factors(rank) for block in self._blocks]
        factors = [block for block in blocks if isinstance(block, Factors)]
        if factors:
            return Factors(np.concatenate([f.left for f in factors]), np.concatenate([f.right for f in factors]))
        return Pruned(np.concatenate([block.values for block in blocks if isinstance(block, Pruned)]))

    @cached_property
    def _blocks(self) -> list[Factorizer]:
        size = len(self.matrix) // self.reference.blocks
        parts = [slice(start, start + size) for start in range(0, len(self.matrix), size)]
        return [self.method.prepare(self.matrix[rows], self.statistics.of_rows(rows)) for rows in parts]

    def _replaced(self, lstm: LstmWeights, matrix: Factors | Pruned) -> LstmWeights:
        if self.reference.target == JOINT and isinstance(matrix, Pruned):  # it has no factor to share
            inputs, recurrent = np.split(matrix.values, [-lstm.state_size], axis=1)
            lstm = lstm.with_matrix("input", Pruned(inputs.copy()))
            return lstm.with_matrix("recurrent", Pruned(recurrent.copy()))
        return lstm.with_matrix(self.reference.target, matrix)
