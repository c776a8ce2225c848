"""Calibration of a language model's core: input covariances, activation errors and the loss of other weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from elmo_mf.bilm.packing import State
from elmo_mf.bilm.weights import Array, BilmWeights
from elmo_mf.compression import ActivationError
from elmo_mf.compression.calibration import InputCovariances, PairedCovariances
from elmo_mf.lm.core import CoreLstm


@torch.no_grad()
def core_input_covariances(core: CoreLstm, inputs: Iterable[Tensor]) -> dict[tuple[int, int], InputCovariances]:
    """Compute the input covariances of a core's matrices, by (direction, layer).

    Args:
        core: The dense core.
        inputs: Tensors (steps, sequences, d), each the continuation of the one before.
    """
    sums: dict[int, Tensor] = {}
    tokens, widths = 0, list[int]()
    for layers in _gate_inputs(core, inputs):
        widths = [x.shape[1] for x, _ in layers]
        for index, (x, h) in enumerate(layers):
            rows = torch.cat([x, h], dim=1).double()
            product = rows.T @ rows
            sums[index] = sums[index] + product if index in sums else product
        tokens += len(rows)
    return {(0, index): _covariances(total, tokens, widths[index]) for index, total in sums.items()}


def _gate_inputs(core: CoreLstm, inputs: Iterable[Tensor]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Yield each layer's inputs x_t (tokens, d) and h_{t-1} (tokens, n), on one part of the text after the other."""
    core.eval()
    state: list[State] | None = None
    for x in inputs:
        outputs, after = core(x, state)
        befores = [x.new_zeros(1, *output.shape[1:]) for output in outputs] if state is None else [h for h, _ in state]
        yield [
            (layer.flatten(0, 1), torch.cat([before, output[:-1]]).flatten(0, 1))
            for layer, output, before in zip([x, *outputs[:-1]], outputs, befores, strict=True)
        ]
        state = after


def _covariances(total: Tensor, tokens: int, width: int) -> InputCovariances:
    return InputCovariances(total.cpu().numpy() / tokens, np.zeros((0, 0)), width)


@torch.no_grad()
def core_activation_error(dense: CoreLstm, compressed: CoreLstm, inputs: Sequence[Tensor]) -> ActivationError:
    """Compare the layers' outputs of two cores, as `activation_error` does for ELMos.

    Args:
        dense: The dense core.
        compressed: The compressed one, of the same sizes.
        inputs: Tensors (steps, sequences, d), each the continuation of the one before.
    """
    return ActivationError.of_squares(_squared_errors(_outputs(dense, inputs), compressed, inputs))


class CoreProbe:
    """Measurements of a core; the loss is the squared error of the last layer's outputs, which the softmax reads.

    Args:
        core: The dense core.
        weights: The core's weights. Other weights are run from the first layer that is not the same object.
        inputs: Tensors (steps, sequences, d), each the continuation of the one before.
    """

    def __init__(self, core: CoreLstm, weights: BilmWeights, inputs: Sequence[Tensor]) -> None:
        self.core, self.weights, self.inputs = core, weights, inputs

    def input_covariances(self) -> dict[tuple[int, int], InputCovariances]:
        """Compute the input covariances of the core's matrices, by (direction, layer)."""
        return core_input_covariances(self.core, self.inputs)

    def highway_input_covariances(self) -> list[Array]:
        """Return an empty list, because there is no character CNN."""
        return []

    @torch.no_grad()
    def paired_covariances(self, weights: BilmWeights, layer: int) -> dict[tuple[int, int], PairedCovariances]:
        """See `EncoderProbe.paired_covariances`."""
        other = CoreLstm(list(weights.lstms.values())[: layer + 1]).to(self.inputs[0].device)
        dense = CoreLstm(list(self.weights.lstms.values())[: layer + 1]).to(self.inputs[0].device)
        sums, tokens, width = list[Tensor](), 0, 0
        for of_dense, of_other in zip(*(_gate_inputs(core, self.inputs) for core in (dense, other)), strict=True):
            x, y = (torch.cat(layers[-1], dim=1).double() for layers in (of_dense, of_other))
            products = [y.T @ y, x.T @ y]
            sums = [a + b for a, b in zip(sums, products, strict=True)] if sums else products
            tokens, width = tokens + len(y), of_other[-1][0].shape[1]
        compressed, cross = (_covariances(total, tokens, width) for total in sums)
        return {(0, layer): PairedCovariances(compressed, cross)}

    @torch.no_grad()
    def loss(self, weights: BilmWeights) -> float:
        """Compute the squared error of the last layer's outputs with other weights, relative to the dense outputs."""
        lstms = list(weights.lstms.values())
        first = min(weights.first_other_layer(self.weights, 0), len(lstms) - 1)
        other = CoreLstm(lstms[first:]).to(self.inputs[0].device)
        inputs = [outputs[first - 1] for outputs in self._dense] if first else self.inputs
        return float(_squared_errors([outputs[first:] for outputs in self._dense], other, inputs)[-1])

    @cached_property
    def _dense(self) -> list[list[Tensor]]:
        return list(_outputs(self.core, self.inputs))


def _squared_errors(wanted: Iterable[list[Tensor]], other: CoreLstm, inputs: Iterable[Tensor]) -> Array:
    """Compute the squared error (|other - dense|_F / |dense|_F)^2 of each layer."""
    squares = [
        np.array(
            [[float((b - a).square().sum()), float(a.square().sum())] for a, b in zip(dense, outputs, strict=True)]
        )
        for dense, outputs in zip(wanted, _outputs(other, inputs), strict=True)
    ]
    total = np.sum(squares, axis=0)
    return np.asarray(total[:, 0] / total[:, 1])


def _outputs(core: CoreLstm, inputs: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Yield each layer's outputs on one part of the text after the other."""
    core.eval()
    state: list[State] | None = None
    for x in inputs:
        outputs, state = core(x, state)
        yield outputs
