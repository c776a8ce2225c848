"""The softmax over all words without gradients, on packed weights."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from elmo_mf.bilm.runtime.packed_linear import PackedLinear

_WORDS, _ROWS = 1024, 500  # at a time; measured with 10,000 and 33,278 words


class PackedSoftmax:
    """A softmax on a CPU, in float32.

    Losses are computed some words at a time, so that what is only summed never leaves the cache. Each packed copy of
    the weight is made when it is first used.

    Args:
        weight: (words, d). It must not change.
        bias: (words,). It must not change.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.detach(), bias.detach()

    def logits(self, outputs: Tensor) -> Tensor:
        """Of outputs (..., d), (..., words)."""
        return self._whole(outputs)

    def loss(self, outputs: Tensor, words: Tensor) -> Tensor:
        """The summed negative log-likelihood, in nats, of words (rows,) after outputs (rows, d)."""
        parts = zip(torch.split(outputs, _ROWS), torch.split(words, _ROWS), strict=True)
        return torch.stack([self._loss(*part) for part in parts]).sum()

    def _loss(self, outputs: Tensor, words: Tensor) -> Tensor:
        totals = torch.stack([tile(outputs).logsumexp(dim=1) for tile in self._tiles]).logsumexp(dim=0)
        own = (outputs * self.weight[words]).sum(dim=1) + self.bias[words]
        return (totals - own).sum()

    @cached_property
    def _whole(self) -> PackedLinear:
        return PackedLinear(self.weight, self.bias)

    @cached_property
    def _tiles(self) -> list[PackedLinear]:
        parts = zip(torch.split(self.weight, _WORDS), torch.split(self.bias, _WORDS), strict=True)
        return [PackedLinear(weight, bias, _ROWS) for weight, bias in parts]
