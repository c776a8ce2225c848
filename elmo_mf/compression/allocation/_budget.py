"""The number of parameters that a budget leaves to the factors."""

from __future__ import annotations

from math import prod

from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.compression.matrix_reference import highway_references, matrix_references
from elmo_mf.compression.size import BYTES_PER_PARAMETER
from elmo_mf.errors import InputError
from elmo_mf.records.compression import Compression


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
    lstms = weights.lstms.values()
    biases = sum(lstm.bias.size for lstm in lstms) + sum(reference.shape[0] for reference in highways)
    matrices = sum(matrix.size for lstm in lstms for matrix in lstm.matrices.values())
    matrices += sum(prod(reference.shape) for reference in highways)
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
