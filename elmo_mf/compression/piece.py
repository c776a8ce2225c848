"""A matrix that is to be factorized, with what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Protocol

import numpy as np

from elmo_mf.bilm.weights import JOINT, Array, BilmWeights, Factors, LstmWeights, Pruned
from elmo_mf.compression.allocation.ranks import Candidate
from elmo_mf.compression.matrix_reference import HighwaySlot, Slot
from elmo_mf.compression.methods.base import AnyRank, Evidence, Method


class Piece(Protocol):
    """One matrix of dense weights, by the method that is to factorize it."""

    @property
    def slot(self) -> Slot | HighwaySlot:
        """Where it is."""

    @property
    def candidate(self) -> Candidate:
        """What each rank gains, as a share of the squared error of no matrix at all, and costs."""

    def factored(self, weights: BilmWeights, rank: int) -> BilmWeights:
        """The weights with this matrix as factors."""


@dataclass(frozen=True)
class LstmPiece:
    """A matrix of the biLSTM, or each gate's rows of it by themselves.

    Attributes:
        dense: the weights that it is one of.
    """

    slot: Slot
    method: Method
    evidence: Evidence
    dense: BilmWeights

    @cached_property
    def candidate(self) -> Candidate:
        parts = [part.energies for part in self._parts]
        whole = float(sum(part.sum() for part in parts))
        return candidate(np.sum([part[: self.slot.most_useful] for part in parts], axis=0), whole, self.slot.cost)

    def factored(self, weights: BilmWeights, rank: int) -> BilmWeights:
        made = self._factorized(rank)
        return replace(weights, lstms={**weights.lstms, self.slot.key: self._with(weights.lstms[self.slot.key], made)})

    def _factorized(self, rank: int) -> Factors | Pruned:
        parts = [part.factors(rank) for part in self._parts]
        factors = [part for part in parts if isinstance(part, Factors)]
        if factors:
            return Factors(np.concatenate([f.left for f in factors]), np.concatenate([f.right for f in factors]))
        return Pruned(np.concatenate([part.values for part in parts if isinstance(part, Pruned)]))

    @cached_property
    def _parts(self) -> list[AnyRank]:
        split = partial(np.array_split, indices_or_sections=self.slot.blocks)
        weights = self.evidence.row_weights
        rows = [None] * self.slot.blocks if weights is None else split(weights)
        return [
            self.method.at_any_rank(matrix, replace(self.evidence, row_weights=own))
            for matrix, own in zip(split(self.slot.matrix(self.dense)), rows, strict=True)
        ]

    def _with(self, lstm: LstmWeights, made: Factors | Pruned) -> LstmWeights:
        if self.slot.target == JOINT and isinstance(made, Pruned):  # which has no factor to share
            parts = np.split(made.values, [-lstm.state_size], axis=1)
            lstm = lstm.with_matrix("input", Pruned(parts[0].copy()))
            return lstm.with_matrix("recurrent", Pruned(parts[1].copy()))
        return lstm.with_matrix(self.slot.target, made)


def candidate(energies: Array, whole: float, cost: int) -> Candidate:
    """Gains relative to the whole matrix, so that those of large values do not take all of a budget."""
    return Candidate(energies / whole if whole > 0 else energies, cost)
