"""The number of parameters that a budget leaves to the factors."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.compression.matrix_reference import highway_references, matrix_references
from elmo_mf.compression.size import BYTES_PER_PARAMETER
from elmo_mf.errors import InputError
from elmo_mf.records.compression import Budget, Compression


def with_absolute_budget(weights: BilmWeights, compression: Compression) -> Compression:
    """Return a compression whose budget is a number, in place of a share of the dense parameters.

    Args:
        weights: Weights of the dense model.
        compression: A compression with or without a budget.
    """
    budget = compression.budget
    if budget is None or budget.share is None:
        return compression
    parameters = max(1, int(budget.share * sum(_dense(weights, compression))))
    return compression.model_copy(update={"budget": Budget(parameters=parameters)})


@dataclass(frozen=True)
class BudgetRoom:
    """What a budget leaves to the factors.

    Attributes:
        kind: What is counted, for people.
        amount: How much of it there may be.
        unit: How much of it a parameter takes.
        fixed: Parameters that stay dense.
        least: Parameters of all factors at rank 1.
        dense: Parameters of the matrices in place of their factors.
    """

    kind: str
    amount: int
    unit: int
    fixed: int
    least: int
    dense: int

    @classmethod
    def of(cls, weights: BilmWeights, compression: Compression) -> BudgetRoom:
        """Count the parameters of weights.

        Args:
            weights: Weights of the dense model.
            compression: A compression with a budget.
        """
        budget = compression.budget
        assert budget is not None
        highways = highway_references(weights) if compression.shares_budget else []
        references = [*matrix_references(weights, compression), *highways]
        matrices, biases = _dense(weights, compression)
        dense = sum(prod(reference.shape) for reference in references)
        return cls(
            kind="parameters" if budget.kind == "share" else budget.kind,
            amount=int(budget.amount * (matrices + biases)) if budget.kind == "share" else int(budget.amount),
            unit=BYTES_PER_PARAMETER if budget.kind == "bytes" else 1,
            fixed=matrices - dense + (0 if budget.kind == "multiply_adds" else biases),
            least=sum(reference.cost for reference in references),
            dense=dense,
        )

    @property
    def left(self) -> int:
        """Parameters that all factors together may have."""
        return self.amount // self.unit - self.fixed

    @property
    def fits(self) -> bool:
        """Whether there is room for rank 1 everywhere."""
        return self.left >= self.least

    @property
    def saves(self) -> bool:
        """Whether the matrices have more parameters than their factors may have."""
        return self.left < self.dense


def parameters_within(weights: BilmWeights, compression: Compression) -> int:
    """Compute how many parameters all factors together may have.

    Args:
        weights: Weights of the dense model.
        compression: A compression with a budget.

    Raises:
        InputError: The budget is less than rank 1 everywhere takes.
    """
    room = BudgetRoom.of(weights, compression)
    if not room.fits:
        least, fixed = (room.unit * parameters for parameters in (room.fixed + room.least, room.fixed))
        raise InputError(
            f"compression.budget: found {room.amount:,} {room.kind}, expected at least {least:,}: {fixed:,} that stay "
            "dense, and rank 1 for all others"
        )
    return room.left


def _dense(weights: BilmWeights, compression: Compression) -> tuple[int, int]:
    """The parameters of all matrices, and of all biases."""
    highways = highway_references(weights) if compression.shares_budget else []
    lstms = weights.lstms.values()
    matrices = sum(matrix.size for lstm in lstms for matrix in lstm.matrices.values())
    matrices += sum(prod(reference.shape) for reference in highways)
    return matrices, sum(lstm.bias.size for lstm in lstms) + sum(reference.shape[0] for reference in highways)
