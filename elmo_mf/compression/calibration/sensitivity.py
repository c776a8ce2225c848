"""How much what others read of an encoder suffers from the errors of its matrices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import log

import numpy as np

from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.compression.allocation.ranks import Candidate
from elmo_mf.compression.calibration.probe import Reading
from elmo_mf.compression.matrix_reference import HighwaySlot, Slot
from elmo_mf.compression.piece import Piece

_LEAST_LOST = 0.01  # below it, what an error does is lost in rounding
_APART = 4
_MOST_POWER = 8.0  # beyond are losses of nothing


def by_outputs(
    ranks: Iterable[tuple[Piece, int]], dense: BilmWeights, reading: Reading
) -> dict[Slot | HighwaySlot, Candidate]:
    """Candidates whose gains are in the loss of the outputs.

    Each matrix is factored by itself, at two ranks. The loss that it makes is taken for s e^p, where e is its own
    relative squared error, and p from 1 on, so that no rank gains more than the one before; and the losses of all to
    add up.

    Args:
        ranks: each matrix with about the rank that it will have.
    """
    return {piece.slot: _by_outputs(piece, rank, dense, reading) for piece, rank in ranks}


def _by_outputs(piece: Piece, rank: int, dense: BilmWeights, reading: Reading) -> Candidate:
    errors = 1 - np.cumsum(piece.candidate.gains)
    high = min(rank, max(1, int((errors > _LEAST_LOST).sum())))
    errors = np.maximum([1, *errors], 0)
    near, far = (
        (max(float(errors[r]), _LEAST_LOST), reading.loss(piece.factored(dense, r)))
        for r in (high, max(1, high // _APART))
    )
    return replace(piece.candidate, gains=-np.diff(near[1] * (errors / near[0]) ** _power(near, far)))


def _power(near: tuple[float, float], far: tuple[float, float]) -> float:
    """p of the curve through two errors and their losses."""
    if not (far[0] > near[0] and far[1] > near[1] > 0):
        return 1.0
    return min(max(1.0, log(far[1] / near[1]) / log(far[0] / near[0])), _MOST_POWER)
