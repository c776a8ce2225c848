"""The number of parameters that a budget leaves to the factors."""

from __future__ import annotations

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


def parameters_within(weights: BilmWeights, compression: Compression) -> int:
    """Compute how many parameters all factors together may have.

    Args:
        weights: Weights of the dense model.
        compression: A compression with a budget.

    Raises:
        InputError: The budget is less than rank 1 everywhere takes.
    """
    budget = compression.budget
    assert budget is not None
    highways = highway_references(weights) if compression.shares_budget else []
    references = [*matrix_references(weights, compression), *highways]
    matrices, biases = _dense(weights, compression)
    fixed = matrices - sum(prod(reference.shape) for reference in references)
    if budget.kind != "multiply_adds":
        fixed += biases
    unit = BYTES_PER_PARAMETER if budget.kind == "bytes" else 1
    amount = int(budget.amount * (matrices + biases)) if budget.kind == "share" else int(budget.amount)
    least = fixed + sum(reference.cost for reference in references)
    if amount // unit < least:
        kind = "parameters" if budget.kind == "share" else budget.kind
        raise InputError(
            f"compression.budget: found {amount:,} {kind}, expected at least {least * unit:,}: {fixed * unit:,} that "
            "stay dense, and rank 1 for all others"
        )
    return amount // unit - fixed


def _dense(weights: BilmWeights, compression: Compression) -> tuple[int, int]:
    """The parameters of all matrices, and of all biases."""
    highways = highway_references(weights) if compression.shares_budget else []
    lstms = weights.lstms.values()
    matrices = sum(matrix.size for lstm in lstms for matrix in lstm.matrices.values())
    matrices += sum(prod(reference.shape) for reference in highways)
    return matrices, sum(lstm.bias.size for lstm in lstms) + sum(reference.shape[0] for reference in highways)
