"""Random layers, and what the plain formula gives for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from elmo_mf.bilm import Factors, Pruned
from elmo_mf.bilm.lstm import BiLstmLayer, ProjectedLstm
from elmo_mf.bilm.packing import Packing, State
from elmo_mf.bilm.runtime import Precision, Runtime
from elmo_mf.bilm.runtime_settings import RuntimeSettings
from elmo_mf.bilm.weights import LstmWeights, Matrix, Target
from tests.bilm.reference import PlainWeights, plain_lstm

Ranks = tuple[int | None, int | None, int | None]


@dataclass(frozen=True)
class Layer:
    """A random layer; `ranks` of each direction's input, recurrent and projection, None for dense.

    `blocks` of the gates' factors, 4 for one factorization a gate; `joint`: one for input and recurrent, of the input's
    rank; `pruned`: what would be dense has zeros that stay.
    """

    n: int
    p: int
    ranks: tuple[Ranks, Ranks]
    clips: tuple[float | None, float | None]
    scale: float
    seed: int = 0
    blocks: int = 1
    joint: bool = False
    pruned: bool = False

    def weights(self) -> list[LstmWeights]:
        rng = np.random.default_rng(self.seed)

        def matrix(m: int, n: int, rank: int | None, blocks: int = 1) -> Matrix:
            if rank is None:
                values = (self.scale * rng.normal(0, n**-0.5, (m, n))).astype(np.float32)
                return Pruned(values * (rng.random((m, n)) < 0.5)) if self.pruned else values
            left, right = rng.normal(0, rank**-0.5, (m, rank)), rng.normal(0, n**-0.5, (blocks * rank, n))
            return Factors((self.scale * left).astype(np.float32), right.astype(np.float32))

        def lstm(ranks: Ranks) -> LstmWeights:
            w_x, w_h, w_p = ranks
            m, gates = 4 * self.n, dict[Target, Matrix]()
            if self.joint:
                gates["joint"] = matrix(m, 2 * self.p, w_x or 3, self.blocks)
            else:
                gates["input"] = matrix(m, self.p, w_x, self.blocks)
                gates["recurrent"] = matrix(m, self.p, w_h, self.blocks)
            # in steps that float32 still has when the forget gate's 1 is added
            bias = (rng.normal(0, 0.5, 4 * self.n) * 1024).round().astype(np.float32) / 1024
            return LstmWeights({**gates, "projection": matrix(self.p, self.n, w_p)}, bias)

        return [lstm(ranks) for ranks in self.ranks]

    def build(self, precision: Precision = "float32", settings: RuntimeSettings | None = None) -> BiLstmLayer:
        forward, backward = self.weights()
        return BiLstmLayer(forward, backward, *self.clips, precision, settings)

    def all_clipped(self, output: Tensor) -> bool:
        """Whether every state is at its bound."""
        bound = self.clips[1]
        return bound is not None and bool((output.abs() >= bound).all())

    def batch(self, lengths: list[int]) -> tuple[Tensor, list[int], State]:
        """Packed inputs, batch sizes and starting states."""
        packing = Packing.of(torch.tensor(lengths))
        generator = torch.Generator().manual_seed(self.seed)
        inputs = torch.randn(2, sum(lengths), self.p, generator=generator)
        h, c = (torch.randn(2, len(lengths), k, generator=generator) / 4 for k in (self.p, self.n))
        return inputs, packing.batch_sizes, (h, c)


STRUCTURES: dict[str, st.SearchStrategy[Any]] = {
    "seed": st.integers(0, 1000),
    "blocks": st.sampled_from([1, 1, 4]),
    "joint": st.sampled_from([False, False, True]),
    "pruned": st.booleans(),
}
"""Strategies of a random layer's seed and of what its matrices are, by field."""

FACTORED = ((2, 3, 2), (2, 3, 2))
DENSE = ((None, None, None), (None, None, None))


def plain_layer(
    layer: Layer, inputs: Tensor, sizes: list[int], state: State, weights: list[PlainWeights]
) -> list[Tensor]:
    """The plain formula on packed sequences: outputs, h and c, as the layer gives them."""
    starts = np.cumsum([0, *sizes[:-1]])
    outputs, h, c = torch.zeros(inputs.shape).double(), *(part.double().clone() for part in state)
    for direction in range(2):
        for row in range(sizes[0]):
            places = [int(start) + row for start, size in zip(starts, sizes, strict=True) if row < size]
            one = inputs[direction, places].double()
            output, last_h, last_c = plain_lstm(
                weights[direction], one, layer.clips, h[direction, row].clone(), c[direction, row].clone()
            )
            outputs[direction, places], h[direction, row], c[direction, row] = output, last_h, last_c
    return [outputs, h, c]


def runtime(module: BiLstmLayer, batch: tuple[Tensor, list[int], State]) -> Runtime:
    """The runtime that the module's only group uses for a batch."""
    (lstm,) = cast(list[ProjectedLstm], list(module.groups))
    return lstm.runtime(*batch)


def assert_equal(layer: Layer, lengths: list[int], settings: RuntimeSettings | None = None) -> None:
    inputs, sizes, state = layer.batch(lengths)
    expected = plain_layer(layer, inputs, sizes, state, [PlainWeights.of(w) for w in layer.weights()])
    output, (h, c) = layer.build(settings=settings)(inputs, sizes, state)
    for actual, reference in zip((output, h, c), expected, strict=True):
        assert actual.dtype == torch.float32
        assert_close(actual, reference, 1e-5)


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    largest = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(actual.double(), expected.double(), atol=tolerance * largest, rtol=0)
