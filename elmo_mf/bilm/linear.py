"""Matrix products of several directions at once, dense or as two thin products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.weights import Array, Factors, Matrix


class StackedLinear(nn.Module):
    """`G` matrices applied to `G` inputs in one batched product; no bias.

    Inputs have shape (G, rows, in), results (G, rows, out). Dense matrices are one parameter (G, in, out); factored
    ones are two, (G, in, r) and (G, r, out), and their product is never formed.

    # Parameters
    matrices: one (out, in) matrix a direction, all dense or all factored at the same rank.
    """

    def __init__(self, matrices: Sequence[Matrix]) -> None:
        super().__init__()
        right: nn.Parameter | None = None
        if isinstance(matrices[0], Factors):
            right = nn.Parameter(_stack([matrix.right for matrix in matrices]))  # type: ignore[union-attr]
            left = _stack([matrix.left for matrix in matrices])  # type: ignore[union-attr]
        else:
            left = _stack(list(matrices))  # type: ignore[arg-type]
        self.right = right
        self.left = nn.Parameter(left)

    @property
    def rank(self) -> int | None:
        """r of the factors, None for dense matrices."""
        return None if self.right is None else int(self.right.shape[2])

    def forward(self, inputs: Tensor, add: Tensor | None = None) -> Tensor:
        """`inputs @ matrix.T`, plus `add` where given."""
        if self.right is not None:
            inputs = torch.bmm(inputs, self.right)
        return torch.bmm(inputs, self.left) if add is None else torch.baddbmm(add, inputs, self.left)

    def matrices(self) -> list[Matrix]:
        """The matrices, outputs first, as they were given."""
        lefts = [_unstack(left) for left in self.left]
        if self.right is None:
            return list(lefts)
        return [Factors(left, _unstack(right)) for left, right in zip(lefts, self.right, strict=True)]


def alike(first: Matrix, second: Matrix) -> bool:
    """Whether two matrices can share a `StackedLinear`."""
    ranks = [matrix.rank if isinstance(matrix, Factors) else None for matrix in (first, second)]
    return ranks[0] == ranks[1] and first.shape == second.shape


def _stack(matrices: list[Array]) -> Tensor:
    return torch.from_numpy(np.stack([np.ascontiguousarray(matrix.T, dtype=np.float32) for matrix in matrices]))


def _unstack(parameter: Tensor) -> Array:
    return parameter.detach().cpu().numpy().T.copy()
