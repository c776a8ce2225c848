"""Input covariances: second moments of the inputs that the biLSTM's matrices have when the encoder reads text.

The text is tokenised, one sentence per line; by default `calibration.txt` in the folder of this file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.lstm import BiLstmLayer, ProjectedLstm
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.stacked_linear import StackedLinear
from elmo_mf.bilm.weights import JOINT, Array, BilmWeights, Target
from elmo_mf.compression._decomposition import is_large
from elmo_mf.io.sentences import stream_sentences
from elmo_mf.progress import track

CALIBRATION_TEXT = Path(__file__).with_name("calibration.txt")
MAX_TOKENS = 100
_MOST_TOKENS = 50_000  # more take time and change nothing
_BATCH_TOKENS = 1000


@dataclass(frozen=True)
class InputCovariances:
    """Input covariances E[x x^T] of the matrices of one direction of one layer, in float64, or if large in float32.

    Attributes:
        gates: Covariance of [x_t; h_{t-1}], (d + p, d + p).
        cells: Covariance of the gated cell sigmoid(o) * tanh(c), (n, n); empty without a projection.
        input_width: d.
    """

    gates: Array
    cells: Array
    input_width: int

    def of(self, target: Target) -> Array:
        """The input covariance of a target's matrix."""
        if target == "projection":
            return self.cells
        d = self.input_width
        part = {"input": slice(0, d), "recurrent": slice(d, None), JOINT: slice(None)}[target]
        return self.gates[part, part]


@dataclass(frozen=True)
class PairedCovariances:
    """Second moments of inputs behind compressed matrices, x', and of these with the dense model's inputs, x.

    Attributes:
        compressed: E[x' x'^T].
        cross: E[x x'^T].
    """

    compressed: InputCovariances
    cross: InputCovariances


def input_covariances(
    weights: BilmWeights, options: BilmOptions, text: Path = CALIBRATION_TEXT
) -> dict[tuple[int, int], InputCovariances]:
    """Compute input covariances by (direction, layer).

    Args:
        weights: Weights of the encoder.
        options: Its options.
        text: Tokenised, one sentence per line; the first 50,000 tokens are read.

    Raises:
        InputError: The text cannot be read or has no words.
    """
    bilm = Bilm(options, weights).eval()
    recorder = _Recorder(bilm)
    with recorder.recorded:
        for batch in track(list(batches(calibration_sentences(text), _BATCH_TOKENS)), "input covariances", "batches"):
            bilm(bilm.token_ids(batch))
            recorder.end_batch()
    return recorder.covariances()


def calibration_sentences(text: Path, most: int = _MOST_TOKENS) -> list[list[str]]:
    """Read the first sentences of a text.

    Args:
        text: Tokenised, one sentence per line; longer sentences are split.
        most: Largest number of tokens of all sentences, unless the first has more. Defaults to 50,000.

    Raises:
        InputError: The text cannot be read or has no words.
    """
    sentences: list[list[str]] = []
    total = 0
    for sentence in stream_sentences(text, MAX_TOKENS):
        total += len(sentence)
        if sentences and total > most:
            break
        sentences.append(sentence)
    return sentences


def batches(sentences: Sequence[list[str]], tokens: int) -> Iterator[list[list[str]]]:
    """Yield batches of sentences of similar length, from short to long.

    Args:
        sentences: Tokenised sentences.
        tokens: Largest number of tokens of a batch with its padding, unless a single sentence has more.
    """
    batch: list[list[str]] = []
    for sentence in sorted(sentences, key=len):
        if batch and (len(batch) + 1) * len(sentence) > tokens:
            yield batch
            batch = []
        batch.append(sentence)
    if batch:
        yield batch


class RecordedInputs:
    """Records the inputs of each product of LSTMs while these run step by step, as with gradients enabled.

    Args:
        lstms: The LSTMs, which are recorded inside a `with` statement.
    """

    def __init__(self, lstms: Iterable[ProjectedLstm]) -> None:
        self._linears = dict.fromkeys(linear for lstm in lstms for linear in _linears(lstm))  # each once
        self._inputs: dict[StackedLinear, list[Tensor]] = {}

    def __enter__(self) -> RecordedInputs:
        def hook(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            assert isinstance(module, StackedLinear)
            self._inputs.setdefault(module, []).append(arguments[0].detach())

        with ExitStack() as stack:
            for linear in self._linears:
                stack.callback(linear.register_forward_pre_hook(hook).remove)
            stack.enter_context(torch.enable_grad())
            stack.enter_context(saved_tensors_hooks(_forget, _forget))  # nothing is differentiated
            self._entered = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.close()

    def take(self, lstm: ProjectedLstm) -> dict[str, Tensor]:
        """Return what one LSTM read since the last call.

        Returns:
            As `gates` [x_t; h_{t-1}], (directions, tokens, d + p); with a projection, as `cells` its inputs,
            (directions, tokens, n).
        """
        x, h, *cells = (torch.cat(self._inputs.pop(linear), dim=1) for linear in _linears(lstm))
        return {"gates": torch.cat([x, h], dim=2)} | ({"cells": cells[0]} if cells else {})


def _forget(_: object) -> Any:
    """Keep nothing."""


class _Recorder:
    """Adds up the input covariances of a biLM."""

    def __init__(self, bilm: Bilm) -> None:
        self.sums: dict[tuple[int, int, str], Tensor] = {}
        self.tokens = 0
        self.groups = [
            (layer, first, cast(ProjectedLstm, group))
            for layer, module in enumerate(bilm.layers)
            for first, group in enumerate(cast(BiLstmLayer, module).groups)
        ]
        self.recorded = RecordedInputs(group for _, _, group in self.groups)

    def end_batch(self) -> None:
        for layer, first, group in self.groups:
            for name, stacked in self.recorded.take(group).items():
                for index, rows in enumerate(stacked):
                    key = first + index, layer, name
                    product = rows.T @ rows
                    self.sums[key] = self.sums[key].add_(product) if key in self.sums else product.double()
        self.tokens += stacked.shape[1]

    def covariances(self) -> dict[tuple[int, int], InputCovariances]:
        means = {key: self._mean(self.sums.pop(key)) for key in list(self.sums)}
        width = self.groups[0][2].state_size  # also the width of the inputs of each of ELMo's layers
        keys = [(direction, layer) for direction, layer, name in means if name == "gates"]
        nothing = np.empty((0, 0))
        return {key: InputCovariances(means[*key, "gates"], means.get((*key, "cells"), nothing), width) for key in keys}

    def _mean(self, total: Tensor) -> Array:
        mean = np.asarray(total.div_(self.tokens).numpy())
        return mean.astype(np.float32) if is_large(mean) else mean


def _linears(lstm: ProjectedLstm) -> list[StackedLinear]:
    """The products by the input, recurrent and, if there is one, projection matrix."""
    return [lstm.input, lstm.recurrent, *([] if lstm.projection is None else [lstm.projection])]
