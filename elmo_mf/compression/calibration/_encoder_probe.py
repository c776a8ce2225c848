"""Probes: what a compression measures of a dense encoder on a text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol

from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import Array, BilmWeights
from elmo_mf.compression.calibration._highway_covariances import highway_input_covariances
from elmo_mf.compression.calibration._input_covariances import (
    InputCovariances,
    PairedCovariances,
    calibration_sentences,
    input_covariances,
)
from elmo_mf.compression.calibration._partial_forward import PartialForward
from elmo_mf.memory import return_freed_memory

_LOSS_TOKENS = 5_000  # every matrix reads them once more
_LOSS_CELLS = 1_024  # with more of them, fewer tokens, since each takes longer
_PAIRED_TOKENS = 20_000  # as does every layer and target


class EncoderProbe(Protocol):
    """Measurements of dense LSTMs on a text."""

    def input_covariances(self) -> Mapping[tuple[int, int], InputCovariances]:
        """Input covariances of the matrices, by (direction, layer)."""

    def highway_input_covariances(self) -> list[Array]:
        """Input covariances of the character CNN's highway layers."""

    def paired_covariances(self, weights: BilmWeights, layer: int) -> Mapping[tuple[int, int], PairedCovariances]:
        """Compute the second moments of a layer's inputs with other weights and with the dense ones.

        Args:
            weights: The other weights, of the same sizes.
            layer: Index of the LSTM layer, from 0.

        Returns:
            Those of each direction, by (direction, layer).
        """

    def loss(self, weights: BilmWeights) -> float:
        """Squared error of the model's outputs with other weights, relative to the dense outputs."""


class ElmoInputs:
    """Inputs that the matrices of an ELMo have on a text, each computed once.

    Args:
        weights: Weights of the dense encoder.
        options: Its options.
        text: Tokenised, one sentence per line; the first 50,000 tokens are read.

    Raises:
        InputError: From all properties: the text cannot be read or has no words.
    """

    def __init__(self, weights: BilmWeights, options: BilmOptions, text: Path) -> None:
        self.weights, self.options, self.text = weights, options, text

    @cached_property
    def covariances(self) -> Mapping[tuple[int, int], InputCovariances]:
        """Input covariances of the biLSTM's matrices, by (direction, layer)."""
        covariances = input_covariances(self.weights, self.options, self.text)
        return_freed_memory()  # hundreds of MB of activations and weights
        return covariances

    @cached_property
    def highway_covariances(self) -> list[Array]:
        """Input covariances of the highway layers."""
        return highway_input_covariances(self.weights, self.options, self.text)


class ElmoProbe:
    """Measurements of an ELMo. Tasks mix the outputs of its layers, so the loss is the sum over the layers.

    Args:
        weights: Weights of the dense encoder.
        options: Its options.
        text: Tokenised, one sentence per line. The first 50,000 tokens are read; for paired covariances the first
            20,000; and for the loss the first 5,000, or with n > 1,024 memory cells, 1,024 / n as many.

    Attributes:
        inputs: Inputs of its matrices.

    Raises:
        InputError: From all methods: the text cannot be read or has no words.
    """

    def __init__(self, weights: BilmWeights, options: BilmOptions, text: Path) -> None:
        self.weights, self.options, self.text = weights, options, text
        self.inputs = ElmoInputs(weights, options, text)

    def input_covariances(self) -> Mapping[tuple[int, int], InputCovariances]:
        """Input covariances of the biLSTM's matrices, by (direction, layer); computed once."""
        return self.inputs.covariances

    def highway_input_covariances(self) -> list[Array]:
        """Input covariances of the highway layers."""
        return self.inputs.highway_covariances

    def paired_covariances(self, weights: BilmWeights, layer: int) -> Mapping[tuple[int, int], PairedCovariances]:
        """See `EncoderProbe.paired_covariances`."""
        return self._paired_forward.paired_covariances(weights, layer)

    def loss(self, weights: BilmWeights) -> float:
        """Relative squared error of the layers' outputs, summed over the layers."""
        return float(self._partial_forward.squared_errors(weights).sum())

    @cached_property
    def _partial_forward(self) -> PartialForward:
        tokens = min(_LOSS_TOKENS, _LOSS_TOKENS * _LOSS_CELLS // self.weights.cells)
        return PartialForward(self.weights, self.options, calibration_sentences(self.text, tokens))

    @cached_property
    def _paired_forward(self) -> PartialForward:
        return PartialForward(self.weights, self.options, calibration_sentences(self.text, _PAIRED_TOKENS))
