"""A matrix of the LSTMs, the method that factorizes it, and its calibration statistics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from elmo_mf.bilm.weights import JOINT, BilmWeights, Factors, LstmWeights, Pruned
from elmo_mf.compression.allocation.ranks import Candidate
from elmo_mf.compression.matrix_reference import MatrixReference
from elmo_mf.compression.methods.base import CalibrationStatistics, Factorizer, Method


@dataclass(frozen=True)
class LstmFactorization:
    """The factorization of one matrix of an LSTM, or of each gate's rows separately.

    Attributes:
        reference: Which matrix.
        method: The factorization method.
        statistics: Calibration statistics of the matrix.
        dense: Weights that contain the dense matrix.
    """

    reference: MatrixReference
    method: Method
    statistics: CalibrationStatistics
    dense: BilmWeights

    @cached_property
    def candidate(self) -> Candidate:
        """Error reductions relative to the matrix's squared norm, and costs."""
        blocks = [block.error_reductions for block in self._blocks]
        total, most = float(sum(block.sum() for block in blocks)), self.reference.largest_useful_rank
        summed = np.sum([block[:most] for block in blocks], axis=0)
        return Candidate.relative(summed, total, most, self.reference.cost)

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
        split = partial(np.array_split, indices_or_sections=self.reference.blocks)
        row_weights = self.statistics.row_weights
        rows = [None] * self.reference.blocks if row_weights is None else split(row_weights)
        return [
            self.method.prepare(matrix, replace(self.statistics, row_weights=block_rows))
            for matrix, block_rows in zip(split(self.reference.matrix(self.dense)), rows, strict=True)
        ]

    def _replaced(self, lstm: LstmWeights, matrix: Factors | Pruned) -> LstmWeights:
        if self.reference.target == JOINT and isinstance(matrix, Pruned):  # it has no factor to share
            inputs, recurrent = np.split(matrix.values, [-lstm.state_size], axis=1)
            lstm = lstm.with_matrix("input", Pruned(inputs.copy()))
            return lstm.with_matrix("recurrent", Pruned(recurrent.copy()))
        return lstm.with_matrix(self.reference.target, matrix)
