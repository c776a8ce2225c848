"""The plain formula, one sequence and one step at a time: what every optimisation must equal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elmo_mf.bilm import Factors
from elmo_mf.bilm.weights import TARGETS, Array, LstmWeights, Matrix


class PlainWeights(NamedTuple):
    """Factors of the four arrays, (left, right) each, or (matrix,), outputs first; gates i, g, f, o."""

    input: tuple[Tensor, ...]
    recurrent: tuple[Tensor, ...]
    projection: tuple[Tensor, ...]
    bias: Tensor

    @classmethod
    def of(cls, weights: LstmWeights) -> PlainWeights:
        w_x, w_h, w_p = (_tensors(weights.matrices[target]) for target in TARGETS)
        return cls(w_x, w_h, w_p, _double(weights.bias))

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
    return (_double(matrix.left), _double(matrix.right)) if isinstance(matrix, Factors) else (_double(matrix),)


def _double(array: Array) -> Tensor:
    return torch.from_numpy(array.astype(np.float64))
