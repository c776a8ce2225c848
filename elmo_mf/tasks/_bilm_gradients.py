"""Gradients of an ELMo's loss as a language model by the outputs of its matrices, token by token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.lstm import BiLstmLayer, ProjectedLstm
from elmo_mf.bilm.lstm_formula import in_file_order
from elmo_mf.bilm.stacked_linear import StackedLinear
from elmo_mf.bilm.weights import Array
from elmo_mf.compression.calibration import OutputCovariances, RowWeights, outputs_of
from elmo_mf.errors import check_finite
from elmo_mf.pretrain import Batch, LanguageModel

VERSION = 1
"""Version of these gradients, part of a run's identity; raised when they change."""

Products = dict[StackedLinear, list[tuple[Tensor, Tensor]]]
"""Inputs (G, rows, n) and outputs (G, rows, m) of each call of a product."""


def loss_gradients(
    model: LanguageModel, batches: Iterable[Batch], characters: Tensor
) -> tuple[RowWeights, OutputCovariances]:
    """Compute output covariances E[g g^T], and row weights, the sums of E[(dL/dw)^2] over each row.

    L is the loss summed over all words, g its gradient by the outputs of a matrix at one token; means are over tokens.
    An output affects the predictions of later words too, through the recurrence.

    Args:
        model: The language model, with a dense encoder.
        batches: Sentences.
        characters: Character ids of all distinct words.

    Raises:
        InputError: The loss is not finite.
    """
    model.eval().requires_grad_(True)
    sums: dict[tuple[int, int, str], Any] = {}
    covariances: dict[tuple[int, int, str], Any] = {}
    tokens = 0
    with torch.enable_grad():
        for batch in batches:
            with _recorded(model) as products:
                losses = model(batch, characters)
                loss = losses.forward + losses.backward
                check_finite("gradients: loss", float(loss.detach()), "the ELMo did not learn to predict words")
                loss.backward()
            tokens += int(batch.lengths.sum())
            for key, target, calls in _by_target(model, products):
                x, g = (torch.cat(parts).double() for parts in zip(*calls, strict=True))
                squares = (g.square() * x.square().sum(dim=1, keepdim=True)).sum(dim=0).numpy()
                place = *key, target
                sums[place] = sums.get(place, 0) + squares
                if target != "recurrent":  # whose outputs are those of `input`
                    place = *key, outputs_of(target)
                    covariances[place] = covariances.get(place, 0) + (g.T @ g).numpy()
            model.zero_grad()
    model.requires_grad_(False)
    for place in sums:
        sums[place] = _in_file_order(place[2], sums[place] / tokens)
    for place in covariances:
        rows = _in_file_order(place[2], covariances[place] / tokens)
        covariances[place] = np.ascontiguousarray(_in_file_order(place[2], rows.T))
    return RowWeights(sums), OutputCovariances(covariances)


@contextmanager
def _recorded(model: LanguageModel) -> Iterator[Products]:
    """Record the calls of the products of a model's LSTMs, with the gradients with respect to their outputs."""
    products: Products = {}

    def record(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        output.retain_grad()
        products.setdefault(cast(StackedLinear, module), []).append((arguments[0].detach(), output))

    linears = [module for module in model.bilm.layers.modules() if isinstance(module, StackedLinear)]
    hooks = [linear.register_forward_hook(record) for linear in linears]
    try:
        yield products
    finally:
        for hook in hooks:
            hook.remove()


def _by_target(
    model: LanguageModel, products: Products
) -> Iterator[tuple[tuple[int, int], Any, list[tuple[Tensor, Tensor]]]]:
    """Yield inputs (rows, n) and gradients (rows, m) of each matrix, with its (direction, layer) and target."""
    for layer, module in enumerate(model.bilm.layers):
        direction = 0
        for group in cast(BiLstmLayer, module).groups:
            lstm = cast(ProjectedLstm, group)
            for index in range(len(lstm.bias)):
                for target in ("input", "recurrent", "projection"):
                    linear = getattr(lstm, target)
                    if linear is not None:
                        calls = [(x[index], y.grad[index]) for x, y in products[linear] if y.grad is not None]
                        yield (direction + index, layer), target, calls
            direction += len(lstm.bias)


def _in_file_order(name: str, rows: Array) -> Array:
    return rows if name == "projection" else in_file_order(rows)
