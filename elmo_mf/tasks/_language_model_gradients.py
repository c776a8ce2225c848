"""Row weights of a language model's core from the gradients of its loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from elmo_mf.bilm.weights import TARGETS, Array
from elmo_mf.compression.calibration import RowWeights
from elmo_mf.errors import check_finite
from elmo_mf.lm import CoreLstm

if TYPE_CHECKING:
    from elmo_mf.plugin.awd_lstm import AwdLstm

VERSION = 1
"""Version of a language model's gradients, part of a run's identity; raised when they change."""


def row_weights(model: AwdLstm, windows: list[dict[str, Any]], step: Callable[[], None]) -> RowWeights:
    """Compute E[(dL/dw)^2], summed over each row of each matrix of a dense core.

    Args:
        model: A trained language model.
        windows: Batches of one window each.
        step: Called before each window.

    Raises:
        InputError: The loss of a window is not finite.
    """
    sums: dict[tuple[int, int, str], Array] = {}
    for batch in windows:
        step()
        model.zero_grad()
        loss = model(**batch)["loss"]
        check_finite("gradients: loss", float(loss.detach()), "the language model did not learn; try another seed")
        loss.backward()
        for key, squares in _squared_gradients(model.core):
            sums[key] = sums.get(key, 0) + squares / len(windows)
    model.zero_grad()
    model.get_metrics(reset=True)
    return RowWeights(sums)


def _squared_gradients(core: CoreLstm) -> Iterator[tuple[tuple[int, int, str], Array]]:
    """Yield each matrix's squared gradients summed over rows, with gates in the order of `CoreLstm.weights`."""
    gradients = CoreLstm(list(core.weights().lstms.values()))
    with torch.no_grad():
        for gradient, parameter in zip(gradients.parameters(), core.parameters(), strict=True):
            gradient.copy_(torch.zeros_like(gradient) if parameter.grad is None else parameter.grad)
    for (direction, layer), lstm in gradients.weights().lstms.items():
        for target in TARGETS:
            if target in lstm.matrices:
                squares = np.square(np.asarray(lstm.matrices[target], dtype=np.float64))
                yield (direction, layer, target), squares.sum(axis=1)
