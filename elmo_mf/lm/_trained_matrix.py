"""A matrix that is trained in its form: dense, as factors, or pruned."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from elmo_mf.bilm.weights import Array, Factors, Matrix, Pruned


class TrainedMatrix(nn.Module):
    """A matrix (m, n) as one parameter, or its factors as two; pruned entries stay zero."""

    def __init__(self, matrix: Matrix) -> None:
        super().__init__()
        self.factored = isinstance(matrix, Factors)
        self.blocks = matrix.blocks if isinstance(matrix, Factors) else 1
        arrays = [matrix.left, matrix.right] if isinstance(matrix, Factors) else [_values(matrix)]
        self.parts = nn.ParameterList(nn.Parameter(torch.from_numpy(array.astype("float32"))) for array in arrays)
        mask = torch.from_numpy(matrix.values != 0) if isinstance(matrix, Pruned) else None
        self.mask: Tensor | None
        self.register_buffer("mask", mask, persistent=False)
        self.register_load_state_dict_post_hook(_rebuild_mask)  # type: ignore[no-untyped-call]

    def forward(self) -> Tensor:
        """Compute the dense matrix (m, n), differentiably."""
        if self.factored:
            left, right = (part.unflatten(0, (self.blocks, -1)) for part in self.parts)
            return torch.bmm(left, right).flatten(0, 1)
        matrix: Tensor = self.parts[0]
        return matrix if self.mask is None else matrix * self.mask

    def value(self) -> Matrix:
        """Return the trained matrix in its form."""
        arrays = [part.detach().cpu().numpy().copy() for part in self.parts]
        if self.factored:
            return Factors(arrays[0], arrays[1])
        return arrays[0] if self.mask is None else Pruned(arrays[0] * self.mask.cpu().numpy())


def _rebuild_mask(module: nn.Module, _: object) -> None:
    """Rebuild the mask of a pruned matrix after its values were loaded."""
    matrix = cast(TrainedMatrix, module)
    if matrix.mask is not None:
        matrix.mask = matrix.parts[0].detach() != 0


def _values(matrix: Array | Pruned | Factors) -> Array:
    assert not isinstance(matrix, Factors)
    return matrix.values if isinstance(matrix, Pruned) else matrix
