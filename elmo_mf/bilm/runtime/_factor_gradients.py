"""Products with one matrix for each direction, dense or in two factors, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Factors = tuple[Tensor, ...]
"""A matrix for each direction, (G, in, out); or its right factor (G, in, r) and its left one (G, r, out)."""


def multiply(inputs: Tensor, factors: Factors, add_to: Tensor | None = None) -> Tensor:
    """Multiply inputs (G, rows, in).

    Args:
        inputs: Inputs of the right factor.
        factors: The matrices.
        add_to: The product is added to it in place, (G, rows, out); None for a new tensor.
    """
    *right, left = factors
    for factor in right:
        inputs = torch.bmm(inputs, factor)
    return torch.bmm(inputs, left) if add_to is None else add_to.baddbmm_(inputs, left)


def multiply_gradients(of_product: Tensor, factors: Factors) -> Tensor:
    """Return the gradients of the inputs of `multiply`.

    Args:
        of_product: Gradients of the product, (G, rows, out).
        factors: The matrices; of none, the gradients are those of the product.

    Returns:
        (G, rows, in).
    """
    for factor in reversed(factors):
        of_product = torch.bmm(of_product, factor.transpose(1, 2))
    return of_product


class FactorGradients:
    """The gradients of factors, summed over parts of the rows.

    Attributes:
        values: The gradient of each factor; None if it is not wanted.

    Args:
        factors: The matrices.
        wanted: For each factor, whether its gradient is wanted.
        dtype: Type of the sums.
    """

    def __init__(self, factors: Factors, wanted: Sequence[bool], dtype: torch.dtype) -> None:
        self._factors = factors
        self.values = [
            torch.zeros_like(factor, dtype=dtype) if needed else None
            for factor, needed in zip(factors, wanted, strict=True)
        ]

    def add(self, inputs: Tensor, of_product: Tensor) -> None:
        """Add the gradients of the rows of a product.

        Args:
            inputs: Inputs of the right factor, (G, rows, in).
            of_product: Gradients of the product, (G, rows, out).
        """
        for index in reversed(range(len(self.values))):
            value = self.values[index]
            if value is not None:
                before = inputs if index == 0 else torch.bmm(inputs, self._factors[0])
                _add_product(value, before.transpose(1, 2), of_product)
            if index and self.values[0] is not None:
                of_product = torch.bmm(of_product, self._factors[index].transpose(1, 2))


def _add_product(to: Tensor, left: Tensor, right: Tensor) -> None:
    if to.dtype == left.dtype:
        to.baddbmm_(left, right)
    else:
        to += torch.bmm(left, right)
