"""Products with one matrix for each direction, dense or as two thin products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.runtime_settings import RuntimeSettings, default_settings
from elmo_mf.bilm.weights import Array, Factors, Matrix, Pruned

Part: TypeAlias = Literal["left", "right"]
"""A factor; a dense matrix is a left one."""


class Copies(Protocol):
    """Copies of the matrices in the form in which a product reads them."""

    def numbers(self, part: Part, direction: int) -> Tensor:
        """Return a factor of one direction.

        Args:
            part: Which factor.
            direction: Index of the direction.

        Returns:
            (in, out), in float32.
        """


class StackedLinear(nn.Module):
    """`G` matrices applied to `G` inputs in one batched product, without a bias.

    Dense matrices are one parameter `left` (G, in, out); factored ones are two, `right` (G, in, blocks * r) and `left`
    (G, r, out), and their product is never formed. Pruned matrices run like dense ones; training leaves their zeros.
    After `keep_only`, the parameters are shapes without numbers, and `forward` cannot be called.

    Args:
        matrices: One (out, in) matrix for each direction, all of the same structure, see `same_structure`.
        settings: Thresholds; None for the process's default.
    """

    def __init__(self, matrices: Sequence[Matrix], settings: RuntimeSettings | None = None) -> None:
        super().__init__()
        self.settings = default_settings() if settings is None else settings
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
        self.mask: Tensor | None
        mask = self.left.detach() != 0 if isinstance(matrices[0], Pruned) else None
        self.register_buffer("mask", mask, persistent=False)
        self._copies: Copies | None = None
        self.register_load_state_dict_post_hook(_restore_mask)  # type: ignore[no-untyped-call]

    @property
    def rank(self) -> int | None:
        """Rank of the factors; None for dense matrices."""
        return None if self.right is None else int(self.left.shape[1])

    def keep_only(self, copies: Copies) -> None:
        """Free the parameters; from now on the numbers are read from copies of them."""
        self.left = shape_of(self.left)
        self.right = None if self.right is None else shape_of(self.right)
        if self.mask is not None:
            self.mask = self.mask.to("meta")
        self._copies = copies

    def numbers(self, part: Part, direction: int) -> Tensor:
        """Return a factor of one direction.

        Args:
            part: Which factor; `right` only if the matrices are factored.
            direction: Index of the direction.

        Returns:
            (in, out), in float32, without gradients.
        """
        if self._copies is not None:
            return self._copies.numbers(part, direction)
        parameter = cast(Tensor, self.left if part == "left" else self.right)
        return parameter[direction].detach()

    def forward(
        self, inputs: Tensor, add: Tensor | None = None, add_between: Tensor | None = None, overwrite_add: bool = False
    ) -> Tensor:
        """Compute `inputs @ matrix.T + add`.

        Args:
            inputs: (G, rows, in).
            add: Added to the result, (G, rows, out) or what broadcasts to it; None for nothing.
            add_between: Added between the factors, (G, rows, blocks * r); None for nothing.
            overwrite_add: Whether the result may take the place of `add`, which it does where no gradients are needed.
                Defaults to False.

        Returns:
            (G, rows, out).
        """
        if self.right is not None:
            if add_between is None:
                inputs = self._product(inputs, self.right)
            else:
                inputs = torch.baddbmm(add_between, inputs, self.right)
        if self.blocks > 1:
            product = self._blockwise(inputs)
            return product if add is None else product + add
        left = self._masked_left()
        if add is None:
            return self._product(inputs, left)
        if overwrite_add and not torch.is_grad_enabled() and not torch.is_autocast_enabled(add.device.type):
            return add.baddbmm_(inputs, left)
        return torch.baddbmm(add, inputs, left)

    @property
    def factors(self) -> tuple[Tensor, ...]:
        """The right and the left factor, or the dense matrix, whose pruned numbers get no gradients."""
        left = self._masked_left()
        return (left,) if self.right is None else (self.right, left)

    def _masked_left(self) -> Tensor:
        left: Tensor = self.left
        if self.mask is not None and torch.is_grad_enabled():
            left = left * self.mask
        return left

    def _product(self, inputs: Tensor, matrices: Tensor) -> Tensor:
        """Compute `torch.bmm`; long sums in parts on a GPU, which a product of few rows leaves mostly idle."""
        _, rows, n = inputs.shape
        settings = self.settings
        few, long = 1 < rows <= settings.split_max_rows, n >= settings.split_min_columns
        if inputs.device.type == "cpu" or not few or not long or n % settings.split_columns:
            return torch.bmm(inputs, matrices)
        return bmm_in_parts(inputs, matrices, n // settings.split_columns)

    def _blockwise(self, inputs: Tensor) -> Tensor:
        """Turn (G, rows, blocks * r) into (G, rows, out), each block with its own rows of the left factor."""
        groups, rows, _ = inputs.shape
        parts = inputs.view(groups, rows, self.blocks, -1).transpose(1, 2).flatten(0, 1)
        lefts = self.left.view(groups, self.left.shape[1], self.blocks, -1).transpose(1, 2).flatten(0, 1)
        return torch.bmm(parts, lefts).view(groups, self.blocks, rows, -1).transpose(1, 2).reshape(groups, rows, -1)

    def matrices(self) -> list[Matrix]:
        """Return the matrices, outputs first, with the structure that they were given in."""
        directions = range(len(self.left))
        lefts = [_unstack(self.numbers("left", direction)) for direction in directions]
        if self.right is not None:
            rights = [_unstack(self.numbers("right", direction)) for direction in directions]
            return [Factors(*factors) for factors in zip(lefts, rights, strict=True)]
        return list(lefts) if self.mask is None else [Pruned(left) for left in lefts]


def _restore_mask(module: nn.Module, _: object) -> None:
    """Recompute the mask of pruned matrices from loaded values."""
    linear = cast(StackedLinear, module)
    if linear.mask is not None:
        linear.mask = linear.left.detach() != 0


def shape_of(parameter: Tensor) -> nn.Parameter:
    """Return an empty parameter of the same shape, which takes no memory."""
    return nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)


def same_structure(first: Matrix | None, second: Matrix | None) -> bool:
    """Return whether two matrices can share a `StackedLinear`.

    Args:
        first: The matrix of one direction; None if it has none.
        second: That of another direction.
    """
    if first is None or second is None:
        return first is second
    if isinstance(first, Factors) and isinstance(second, Factors):
        return (first.shape, first.rank, first.blocks) == (second.shape, second.rank, second.blocks)
    return type(first) is type(second) and first.shape == second.shape


def bmm_in_parts(inputs: Tensor, matrices: Tensor, parts: int) -> Tensor:
    """Compute `torch.bmm` as a sum of products.

    Args:
        inputs: (G, rows, in).
        matrices: (G, in, out).
        parts: Number of products; divides `in`.
    """
    groups, rows, n = inputs.shape
    cut = inputs.view(groups, rows, parts, n // parts).transpose(1, 2).flatten(0, 1)
    products = torch.bmm(cut, matrices.view(groups * parts, n // parts, -1))
    return products.view(groups, parts, rows, -1).sum(dim=1)


def _stack(matrices: list[Array]) -> Tensor:
    stacked = np.empty((len(matrices), *matrices[0].T.shape), np.float32)
    for place, matrix in zip(stacked, matrices, strict=True):
        place[:] = matrix.T
    return torch.from_numpy(stacked)


def _unstack(matrix: Tensor) -> Array:
    return matrix.cpu().numpy().T.copy()
