"""Matrix products of several directions at once, dense or as two thin products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.weights import Array, Factors, Matrix, Pruned


class StackedLinear(nn.Module):
    """`G` matrices applied to `G` inputs in one batched product; no bias.

    Inputs have shape (G, rows, in), results (G, rows, out). Dense matrices are one parameter (G, in, out); factored
    ones are two, `right` (G, in, blocks * r) and `left` (G, r, out), and their product is never formed. Pruned matrices
    run like dense ones; training leaves their zeros.

    Args:
        matrices: one (out, in) matrix a direction, all of the same form, see `alike`.
    """

    def __init__(self, matrices: Sequence[Matrix]) -> None:
        super().__init__()
        right: nn.Parameter | None = None
        self.blocks = 1
        lefts = []
        for matrix in matrices:
            if isinstance(matrix, Factors):
                self.blocks = matrix.blocks
                lefts.append(matrix.left)
            else:
                lefts.append(matrix.values if isinstance(matrix, Pruned) else matrix)
        if isinstance(matrices[0], Factors):
            right = nn.Parameter(_stack([cast(Factors, matrix).right for matrix in matrices]))
        self.right = right
        self.left = nn.Parameter(_stack(lefts))
        mask = self.left.detach() != 0 if isinstance(matrices[0], Pruned) else None
        self.register_buffer("mask", mask, persistent=False)
        self.register_load_state_dict_post_hook(_mask_anew)  # type: ignore[no-untyped-call]

    @property
    def rank(self) -> int | None:
        """r of the factors, None for dense matrices."""
        return None if self.right is None else int(self.left.shape[1])

    def forward(
        self, inputs: Tensor, add: Tensor | None = None, within: Tensor | None = None, lost: bool = False
    ) -> Tensor:
        """`inputs @ matrix.T`, plus `add` where given; `within` is added between the factors.

        `lost`: nobody needs `add` afterwards, so that without gradients the result takes its place.
        """
        if self.right is not None:
            inputs = _product(inputs, self.right) if within is None else torch.baddbmm(within, inputs, self.right)
        if self.blocks > 1:
            product = self._blockwise(inputs)
            return product if add is None else product + add
        left: Tensor = self.left
        if self.mask is not None and torch.is_grad_enabled():
            left = left * cast(Tensor, self.mask)
        if add is None:
            return _product(inputs, left)
        if lost and not torch.is_grad_enabled() and not torch.is_autocast_enabled(add.device.type):
            return add.baddbmm_(inputs, left)
        return torch.baddbmm(add, inputs, left)

    def _blockwise(self, inputs: Tensor) -> Tensor:
        """(G, rows, blocks * r) to (G, rows, out), each block with its own columns of the left factor."""
        groups, rows, _ = inputs.shape
        parts = inputs.view(groups, rows, self.blocks, -1).transpose(1, 2).flatten(0, 1)
        lefts = self.left.view(groups, self.left.shape[1], self.blocks, -1).transpose(1, 2).flatten(0, 1)
        return torch.bmm(parts, lefts).view(groups, self.blocks, rows, -1).transpose(1, 2).reshape(groups, rows, -1)

    def matrices(self) -> list[Matrix]:
        """The matrices, outputs first, as they were given."""
        lefts = [_unstack(left) for left in self.left]
        if self.right is not None:
            return [Factors(left, _unstack(right)) for left, right in zip(lefts, self.right, strict=True)]
        return list(lefts) if self.mask is None else [Pruned(left) for left in lefts]


def _mask_anew(module: nn.Module, _: object) -> None:
    """Of pruned matrices whose values were loaded."""
    linear = cast(StackedLinear, module)
    if linear.mask is not None:
        linear.mask = linear.left.detach() != 0


def alike(first: Matrix | None, second: Matrix | None) -> bool:
    """Whether two matrices can share a `StackedLinear`."""
    if first is None or second is None:
        return first is second
    if isinstance(first, Factors) and isinstance(second, Factors):
        return (first.shape, first.rank, first.blocks) == (second.shape, second.rank, second.blocks)
    return type(first) is type(second) and first.shape == second.shape


def _product(inputs: Tensor, matrices: Tensor) -> Tensor:
    """`torch.bmm`; on a GPU a long sum in parts, since a product of few rows leaves most of it idle."""
    _, rows, n = inputs.shape
    if inputs.device.type == "cpu" or not 1 < rows <= _MOST_ROWS or n < _LONG or n % _SUMMED:
        return torch.bmm(inputs, matrices)
    return in_parts(inputs, matrices, n // _SUMMED)


def in_parts(inputs: Tensor, matrices: Tensor, parts: int) -> Tensor:
    """`torch.bmm` as the sum of so many products; `parts` divides the columns of `inputs` (G, rows, in)."""
    groups, rows, n = inputs.shape
    cut = inputs.view(groups, rows, parts, n // parts).transpose(1, 2).flatten(0, 1)
    products = torch.bmm(cut, matrices.view(groups * parts, n // parts, -1))
    return products.view(groups, parts, rows, -1).sum(dim=1)


_LONG, _SUMMED, _MOST_ROWS = 1024, 256, 1024  # measured


def _stack(matrices: list[Array]) -> Tensor:
    return torch.from_numpy(np.stack([np.ascontiguousarray(matrix.T, dtype=np.float32) for matrix in matrices]))


def _unstack(parameter: Tensor) -> Array:
    return parameter.detach().cpu().numpy().T.copy()
