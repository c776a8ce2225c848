"""What is known of a core's matrices from text that it reads: second moments of inputs, gradients, activations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elmo_mf.bilm.packing import State
from elmo_mf.bilm.weights import Array
from elmo_mf.factorize.calibration import Moments
from elmo_mf.lm.core import CoreLstm


@torch.no_grad()
def core_moments(core: CoreLstm, inputs: Iterable[Tensor]) -> dict[tuple[int, int], Moments]:
    """Second moments of what each matrix is multiplied with.

    # Parameters
    inputs: (steps, sequences, d) each, every one the continuation of the one before.
    """
    core.eval()
    sums: dict[int, Tensor] = {}
    tokens, widths = 0, list[int]()
    state: list[State] | None = None
    for x in inputs:
        outputs, after = core(x, state)
        befores = [x.new_zeros(1, *output.shape[1:]) for output in outputs] if state is None else [h for h, _ in state]
        layers = [x, *outputs[:-1]]
        widths = [layer.shape[2] for layer in layers]
        for index, (own, output, before) in enumerate(zip(layers, outputs, befores, strict=True)):
            rows = torch.cat([own, torch.cat([before, output[:-1]])], dim=2).flatten(0, 1).double()
            product = rows.T @ rows
            sums[index] = sums[index] + product if index in sums else product
        tokens += x.shape[0] * x.shape[1]
        state = after
    empty = np.zeros((0, 0))
    return {(0, index): Moments(total.cpu().numpy() / tokens, empty, widths[index]) for index, total in sums.items()}


@torch.no_grad()
def core_activation_error(dense: CoreLstm, own: CoreLstm, inputs: Sequence[Tensor]) -> dict[str, Any]:
    """|own - dense|_F / |dense|_F of the layers' outputs, as `activation_error` gives it for an ELMo."""
    squares: list[Array] = []
    states: list[list[State] | None] = [None, None]
    for x in inputs:
        (wanted, states[0]), (found, states[1]) = (
            core.eval()(x, state) for core, state in zip((dense, own), states, strict=True)
        )
        pairs = zip(wanted, found, strict=True)
        squares.append(np.array([[float((b - a).square().sum()), float(a.square().sum())] for a, b in pairs]))
    total = np.sum(squares, axis=0)
    shares = total[:, 0] / total[:, 1]
    return {"layers": np.sqrt(shares).tolist(), "all": float(np.sqrt(shares.mean()))}
