"""Sensitivity of the model's outputs to the error of each matrix."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from math import log
from typing import Protocol

import numpy as np

from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.compression.allocation._ranks import Candidate
from elmo_mf.compression.calibration import EncoderProbe
from elmo_mf.compression.matrix_reference import HighwayReference, MatrixReference
from elmo_mf.memory import return_freed_memory
from elmo_mf.progress import track

_LEAST_ERROR = 0.01  # smaller relative squared errors change outputs by less than rounding
_RANK_RATIO = 4  # between the two ranks at which a matrix's loss is measured
_MOST_POWER = 8.0  # steeper fits are of losses close to zero


class MatrixFactorization(Protocol):
    """One matrix of dense weights and the method that is to factorize it."""

    @property
    def reference(self) -> MatrixReference | HighwayReference:
        """The matrix."""

    @property
    def candidate(self) -> Candidate:
        """Error reductions relative to the matrix's squared norm, and costs."""

    def factored(self, weights: BilmWeights, rank: int) -> BilmWeights:
        """Replace the matrix of `weights` by factors."""


def candidates_by_outputs(
    ranks: Collection[tuple[MatrixFactorization, int]], dense: BilmWeights, probe: EncoderProbe
) -> dict[MatrixReference | HighwayReference, Candidate]:
    """Measure error reductions in the loss of the outputs in place of the matrices' own errors.

    Each matrix is factorized alone, at two ranks. Its loss is modelled as s e^p, where e is its relative squared error
    and p is at least 1, so that reductions never rise with the rank; the losses of all matrices are taken to add up.

    Args:
        ranks: Each matrix with the rank that it is expected to get.
        dense: Weights of the dense model.
        probe: Measures the loss of other weights.
    """
    return {
        one.reference: _candidate_by_outputs(one, rank, dense, probe)
        for one, rank in track(ranks, "rank allocation", "matrices")
    }


def _candidate_by_outputs(
    factorization: MatrixFactorization, rank: int, dense: BilmWeights, probe: EncoderProbe
) -> Candidate:
    return_freed_memory()
    errors = 1 - np.cumsum(factorization.candidate.error_reductions)
    high = min(rank, max(1, int((errors > _LEAST_ERROR).sum())))
    errors = np.maximum([1, *errors], 0)
    near, far = (
        (max(float(errors[r]), _LEAST_ERROR), probe.loss(factorization.factored(dense, r)))
        for r in (high, max(1, high // _RANK_RATIO))
    )
    losses = near[1] * (errors / near[0]) ** _power(near, far)
    return replace(factorization.candidate, error_reductions=-np.diff(losses))


def _power(near: tuple[float, float], far: tuple[float, float]) -> float:
    """The power p of the curve through two (error, loss) pairs."""
    if not (far[0] > near[0] and far[1] > near[1] > 0):
        return 1.0
    return min(max(1.0, log(far[1] / near[1]) / log(far[0] / near[0])), _MOST_POWER)
