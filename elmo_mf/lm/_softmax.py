"""The softmax over all words for inference, on packed weights."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from elmo_mf.bilm.runtime import PackedLinear


class PackedSoftmax:
    """A softmax on a CPU, in float32.

    Losses are computed for some words at a time, so that logits that are only summed stay in the processor's cache.
    Weights are packed on first use.

    Args:
        weight: Weight of each word, (words, d); it must not change.
        bias: Bias of each word, (words,); it must not change.
        tile_words: Number of words at a time; the default was measured with 10,000 and 33,278 words.
        tile_rows: Number of rows of outputs at a time, as measured.
    """

    def __init__(self, weight: Tensor, bias: Tensor, tile_words: int = 1024, tile_rows: int = 500) -> None:
        self.weight, self.bias = weight.detach(), bias.detach()
        self.tile_words, self.tile_rows = tile_words, tile_rows

    def logits(self, outputs: Tensor) -> Tensor:
        """Compute the logits (..., words) of outputs (..., d)."""
        return self._whole(outputs)

    def loss(self, outputs: Tensor, words: Tensor) -> Tensor:
        """Sum the negative log-likelihoods, in nats, of words (rows,) given outputs (rows, d)."""
        parts = zip(torch.split(outputs, self.tile_rows), torch.split(words, self.tile_rows), strict=True)
        return torch.stack([self._loss(*part) for part in parts]).sum()

    def _loss(self, outputs: Tensor, words: Tensor) -> Tensor:
        totals = torch.stack([tile(outputs).logsumexp(dim=1) for tile in self._tiles]).logsumexp(dim=0)
        scores = (outputs * self.weight[words]).sum(dim=1) + self.bias[words]
        return (totals - scores).sum()

    @cached_property
    def _whole(self) -> PackedLinear:
        return PackedLinear(self.weight, self.bias)

    @cached_property
    def _tiles(self) -> list[PackedLinear]:
        parts = zip(torch.split(self.weight, self.tile_words), torch.split(self.bias, self.tile_words), strict=True)
        return [PackedLinear(weight, bias, self.tile_rows) for weight, bias in parts]
