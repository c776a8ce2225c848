"""The plain formula, one sequence and one step at a time: what every optimisation must equal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elmo_mf.bilm import Factors, Pruned
from elmo_mf.bilm.weights import Array, LstmWeights, Matrix


class PlainWeights(NamedTuple):
    """Factors of the four arrays, (left, right) each, or (matrix,), outputs first; gates i, g, f, o."""

    input: tuple[Tensor, ...]
    recurrent: tuple[Tensor, ...]
    projection: tuple[Tensor, ...]
    bias: Tensor

    @classmethod
    def of(cls, weights: LstmWeights) -> PlainWeights:
        matrices = weights.matrices
        if "joint" in matrices:
            gates: tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
            joint, p = _blockwise(matrices["joint"]), matrices["projection"].shape[0]
            gates = (joint[:, :-p],), (joint[:, -p:],)
        else:
            gates = _tensors(matrices["input"]), _tensors(matrices["recurrent"])
        return cls(*gates, _tensors(matrices["projection"]), _double(weights.bias))

    @property
    def tensors(self) -> list[Tensor]:
        return [*self.input, *self.recurrent, *self.projection, self.bias]


def plain_lstm(
    weights: PlainWeights, inputs: Tensor, clips: tuple[float | None, float | None], h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """All states (steps, p) and the last h (p,) and c (n,), in float64."""
    w_x, w_h, w_p = (_product(m) for m in (weights.input, weights.recurrent, weights.projection))
    outputs = []
    for x in inputs:
        i, g, f, o = (w_x @ x + w_h @ h + weights.bias).chunk(4)
        c = _clip(i.sigmoid() * g.tanh() + (f + 1).sigmoid() * c, clips[0])
        h = _clip(w_p @ (o.sigmoid() * c.tanh()), clips[1])
        outputs.append(h)
    return torch.stack(outputs), h, c


def _clip(values: Tensor, bound: float | None) -> Tensor:
    return values if bound is None else values.clamp(-bound, bound)


def _product(factors: tuple[Tensor, ...]) -> Tensor:
    return factors[0] @ factors[1] if len(factors) == 2 else factors[0]


def _tensors(matrix: Matrix) -> tuple[Tensor, ...]:
    if isinstance(matrix, Factors):
        one = len(matrix.right) == matrix.rank
        return (_double(matrix.left), _double(matrix.right)) if one else (_blockwise(matrix),)
    return (_double(matrix.values if isinstance(matrix, Pruned) else matrix),)


def _blockwise(matrix: Matrix) -> Tensor:
    """The product of factors, row by row with the block that the row belongs to."""
    assert isinstance(matrix, Factors)
    left, right = _double(matrix.left), _double(matrix.right)
    rows_a_block = len(left) // (len(right) // matrix.rank)
    starts = [row // rows_a_block * matrix.rank for row in range(len(left))]
    return torch.stack([gate @ right[start : start + matrix.rank] for gate, start in zip(left, starts, strict=True)])


def _double(array: Array) -> Tensor:
    return torch.from_numpy(array.astype(np.float64))
