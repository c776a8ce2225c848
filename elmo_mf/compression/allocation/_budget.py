"""The size that a budget allows, and the ranks that fit in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TypeVar

import numpy as np

from elmo_mf.bilm.checkpoint import is_of_lstm, stored_sizes
from elmo_mf.bilm.weights import JOINT, STACKED, BilmWeights, Factors, Matrix, Target, with_highway
from elmo_mf.compression.allocation._ranks import Candidate, allocate_ranks
from elmo_mf.compression.matrix_reference import (
    HighwayReference,
    MatrixReference,
    highway_references,
    matrix_references,
)
from elmo_mf.errors import InputError
from elmo_mf.records.compression import FLOAT_BYTES, Budget, Compression

Reference = MatrixReference | HighwayReference
R = TypeVar("R", MatrixReference, Reference)

_MOST_PARAMETERS = 2  # in a byte
_ZERO = np.float32(0)


def with_absolute_budget(weights: BilmWeights, compression: Compression) -> Compression:
    """Return a compression whose budget is a number, in place of a share of the dense parameters.

    Args:
        weights: Weights of the dense model.
        compression: A compression with or without a budget.
    """
    budget = compression.budget
    if budget is None or budget.share is None:
        return compression
    parameters = max(1, int(budget.share * _dense_parameters(weights, compression, with_biases=True)))
    return compression.model_copy(update={"budget": Budget(parameters=parameters)})


@dataclass(frozen=True)
class BudgetRoom:
    """The size that a budget allows, and the sizes between which it chooses, in its unit.

    Attributes:
        unit: What is counted, for people.
        amount: How much of it there may be.
        least: Size with factors of rank 1.
        dense: Size with the matrices in place of their factors.
    """

    unit: str
    amount: int
    least: int
    dense: int

    @classmethod
    def of(cls, weights: BilmWeights, compression: Compression) -> BudgetRoom:
        """Measure weights.

        Args:
            weights: Weights of the dense model; of their arrays, only the shapes matter.
            compression: A compression with a budget.
        """
        budget = compression.budget
        assert budget is not None
        by_share = budget.kind == "share"
        parameters = _dense_parameters(weights, compression, with_biases=True) if by_share else 1
        return cls(
            unit="parameters" if by_share else budget.unit,
            amount=int(budget.amount * parameters),
            least=_size(weights, compression, dict.fromkeys(_references(weights, compression), 1)),
            dense=_size(weights, compression, {}),
        )

    @property
    def fits(self) -> bool:
        """Whether there is room for rank 1 everywhere."""
        return self.least <= self.amount

    @property
    def saves(self) -> bool:
        """Whether the matrices take more than the budget."""
        return self.amount < self.dense


def check_budget(weights: BilmWeights, compression: Compression) -> BudgetRoom:
    """Check that a budget is large enough.

    Args:
        weights: Weights of the dense model.
        compression: A compression with a budget.

    Returns:
        What the budget allows.

    Raises:
        InputError: The budget is less than rank 1 everywhere takes.
    """
    room = BudgetRoom.of(weights, compression)
    if not room.fits:
        raise InputError(
            "compression.budget",
            f"found {room.amount:,} {room.unit}, expected at least {room.least:,}, the size at rank 1",
        )
    return room


def ranks_within(weights: BilmWeights, compression: Compression, candidates: Mapping[R, Candidate]) -> dict[R, int]:
    """Choose the ranks with the largest total error reduction whose total size is within a budget.

    Args:
        weights: Weights of the dense model.
        compression: A compression with a budget.
        candidates: All matrices that share it.

    Returns:
        The rank of each matrix, at least 1.

    Raises:
        InputError: The budget is less than rank 1 everywhere takes.
    """
    room, budget = check_budget(weights, compression), compression.budget
    assert budget is not None
    costs = [candidate.cost for candidate in candidates.values()]
    left = room.amount - room.least
    if _is_exact(budget):
        return allocate_ranks(candidates, sum(costs) + left // _parameter_size(budget))
    # scales are paid by the row and by the matrix: the largest number of parameters that fits is searched for
    fitting, larger = sum(costs), sum(costs) + _MOST_PARAMETERS * left + 1
    ranks = dict.fromkeys(candidates, 1)
    while larger - fitting > min(costs):
        middle = (fitting + larger) // 2
        tried = allocate_ranks(candidates, middle)
        if _size(weights, compression, tried) <= room.amount:
            ranks, fitting = tried, middle
        else:
            larger = middle
    return ranks


def _is_exact(budget: Budget) -> bool:
    """Whether each parameter takes the same."""
    return budget.kind != "bytes" or budget.dtype in FLOAT_BYTES


def _parameter_size(budget: Budget) -> int:
    return FLOAT_BYTES[budget.dtype] if budget.kind == "bytes" else 1


def _references(weights: BilmWeights, compression: Compression) -> list[Reference]:
    highways = highway_references(weights) if compression.shares_budget else []
    return [*matrix_references(weights, compression), *highways]


def _size(weights: BilmWeights, compression: Compression, ranks: Mapping[R, int]) -> int:
    """The size of everything that the budget counts, with factors of these ranks, in the budget's unit."""
    budget = compression.budget
    assert budget is not None
    if _is_exact(budget):
        saved = sum(prod(reference.shape) - rank * reference.cost for reference, rank in ranks.items())
        return _parameter_size(budget) * (
            _dense_parameters(weights, compression, budget.kind != "multiply_adds") - saved
        )
    sizes = stored_sizes(_with_ranks(weights, ranks), budget.dtype)
    counts_highways = compression.shares_budget
    return sum(
        size for name, size in sizes.items() if is_of_lstm(name) or (counts_highways and name.startswith("CNN_high_"))
    )


def _dense_parameters(weights: BilmWeights, compression: Compression, with_biases: bool) -> int:
    highways = highway_references(weights) if compression.shares_budget else []
    lstms = weights.lstms.values()
    parameters = sum(matrix.size for lstm in lstms for matrix in lstm.matrices.values())
    parameters += sum(prod(reference.shape) for reference in highways)
    if with_biases:
        parameters += sum(lstm.bias.size for lstm in lstms) + sum(reference.shape[0] for reference in highways)
    return int(parameters)


def _with_ranks(weights: BilmWeights, ranks: Mapping[R, int]) -> BilmWeights:
    """Return weights with factors of zeros, which take no memory."""
    lstms, arrays = dict(weights.lstms), dict(weights.token_layer)
    for reference, rank in ranks.items():
        (m, n), blocks = reference.shape, reference.blocks
        factors = Factors(np.broadcast_to(_ZERO, (m, rank)), np.broadcast_to(_ZERO, (blocks * rank, n)))
        if isinstance(reference, HighwayReference):
            arrays = with_highway(arrays, reference.layer, factors)
            continue
        lstm = lstms[reference.key]
        replaced: tuple[Target, ...] = STACKED if reference.target == JOINT else (reference.target,)
        kept: dict[Target, Matrix] = {key: value for key, value in lstm.matrices.items() if key not in replaced}
        lstms[reference.key] = replace(lstm, matrices=kept | {reference.target: factors})
    return replace(weights, lstms=lstms, token_layer=arrays)
