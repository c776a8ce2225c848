"""Ragged batches without padding: tokens in the order in which an LSTM steps through them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

State = tuple[Tensor, Tensor]  # an LSTM's h (G, batch, p) and c (G, batch, n)


@dataclass(frozen=True)
class Packing:
    """Where the tokens of a padded batch (sentences, width) lie in packed order.

    Sentences are sorted by falling length (`order`), then taken step after step; `batch_sizes` counts the sentences
    still running at each step. `forward` (tokens,) indexes the flattened batch. `flip` (tokens,) indexes the packed
    tokens so that each sentence runs from its last token to its first; it is its own inverse.
    """

    width: int
    order: Tensor
    batch_sizes: list[int]
    forward: Tensor
    flip: Tensor

    @classmethod
    def of(cls, lengths: Tensor, width: int | None = None) -> Packing:
        """Packing for sentences of `lengths` (sentences,), each at least 1, padded to `width` or to the longest.

        Reckoned on the CPU, where each of its small steps takes less than a launch on a GPU.
        """
        device, lengths = lengths.device, lengths.cpu()
        longest = int(lengths.max())
        width = longest if width is None else width
        ordered, order = lengths.sort(descending=True, stable=True)
        steps = torch.arange(longest).unsqueeze(1)
        running = steps < ordered  # (longest, sentences)
        sizes = running.sum(dim=1)
        columns = torch.arange(len(lengths))
        forward = (order * width + steps)[running]
        mirrored = (ordered - 1 - steps).clamp(min=0)
        flip = ((sizes.cumsum(0) - sizes)[mirrored] + columns)[running]
        return cls(width, order.to(device), sizes.tolist(), forward.to(device), flip.to(device))

    def pack(self, padded: Tensor) -> Tensor:
        """(sentences, width, ...) to (tokens, ...)."""
        return padded.flatten(0, 1)[self.forward]

    def unpack(self, packed: Tensor) -> Tensor:
        """(layers, tokens, dim) to (layers, sentences, width, dim), zero past a sentence's end."""
        shape = len(packed), len(self.order), self.width, packed.shape[2]
        padded = packed.new_zeros(shape).flatten(1, 2)
        return padded.index_copy(1, self.forward, packed).reshape(shape)


def joined(ended: list[State]) -> State:
    """Every sequence's last state, from those of the shortest to those of the longest."""
    h, c = zip(*reversed(ended), strict=True)
    return torch.cat(h, dim=1), torch.cat(c, dim=1)


def groups(batch_sizes: list[int], most: float) -> Iterator[tuple[slice, list[int]]]:
    """Cut the steps of packed sequences into runs of at most `most` tokens, but for a single step that has more.

    Gives each run's place among the packed tokens, and its batch sizes.
    """
    start, group = 0, list[int]()
    for size in batch_sizes:
        if group and sum(group) + size > most:
            yield slice(start, start + sum(group)), group
            start, group = start + sum(group), []
        group.append(size)
    yield slice(start, start + sum(group)), group
