"""Ragged batches without padding: tokens in the order in which an LSTM steps through them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where the tokens of a padded batch (sentences, longest) lie in packed order.

    Sentences are sorted by falling length (`order`), then taken step after step; `batch_sizes` counts the sentences
    still running at each step. `forward` (tokens,) indexes the flattened batch. `flip` (tokens,) indexes the packed
    tokens so that each sentence runs from its last token to its first; it is its own inverse.
    """

    order: Tensor
    batch_sizes: list[int]
    forward: Tensor
    flip: Tensor

    @classmethod
    def of(cls, lengths: Tensor) -> Packing:
        """Packing for sentences of `lengths` (sentences,), each at least 1."""
        longest = int(lengths.max())
        ordered, order = lengths.sort(descending=True, stable=True)
        steps = torch.arange(longest, device=lengths.device).unsqueeze(1)
        running = steps < ordered  # (longest, sentences)
        sizes = running.sum(dim=1)
        columns = torch.arange(len(lengths), device=lengths.device)
        forward = (order * longest + steps)[running]
        mirrored = (ordered - 1 - steps).clamp(min=0)
        flip = ((sizes.cumsum(0) - sizes)[mirrored] + columns)[running]
        return cls(order, sizes.tolist(), forward, flip)
