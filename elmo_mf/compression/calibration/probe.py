"""What a compression learns of an encoder from a text that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol

from elmo_mf.bilm.config import BilmOptions
from elmo_mf.bilm.weights import Array, BilmWeights
from elmo_mf.compression.calibration.input_covariances import Moments, calibration_sentences, moments
from elmo_mf.compression.calibration.partial_forward import Rereading
from elmo_mf.compression.highways import highway_moments

_MOST_TOKENS = 5_000  # whose outputs are looked at, once a matrix


class Reading(Protocol):
    """A text, read by dense LSTMs."""

    def moments(self) -> Mapping[tuple[int, int], Moments]:
        """By (direction, layer), second moments of what the matrices are multiplied with."""

    def highway_moments(self) -> list[Array]:
        """The same of the character CNN's highway layers."""

    def loss(self, weights: BilmWeights) -> float:
        """The squared error of what others read for outputs, relative to the dense ones, with other weights."""


class ElmoReading:
    """By an ELMo, whose layers' outputs tasks mix: the loss is the sum over the layers.

    Args:
        weights: the dense ones.
        text: tokenised, one sentence a line; of which at most 50,000 tokens are read, and for outputs 5,000.

    Raises:
        InputError: from all methods: the text cannot be read or has no words.
    """

    def __init__(self, weights: BilmWeights, options: BilmOptions, text: Path) -> None:
        self.weights, self.options, self.text = weights, options, text

    def moments(self) -> Mapping[tuple[int, int], Moments]:
        return moments(self.weights, self.options, self.text)

    def highway_moments(self) -> list[Array]:
        return highway_moments(self.weights, self.options, self.text)

    def loss(self, weights: BilmWeights) -> float:
        return float(self._rereading.squared_errors(weights).sum())

    @cached_property
    def _rereading(self) -> Rereading:
        return Rereading(self.weights, self.options, calibration_sentences(self.text, _MOST_TOKENS))
