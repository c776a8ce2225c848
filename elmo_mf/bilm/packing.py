"""Batches of sentences of any length without padding: tokens in the order in which an LSTM steps through them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

State = tuple[Tensor, Tensor]  # an LSTM's h (G, batch, p) and c (G, batch, n)


@dataclass(frozen=True)
class Packing:
    """The order in which an LSTM steps through the tokens of a padded batch (sentences, width).

    Attributes:
        width: Tokens of a padded sentence.
        order: Indices of the sentences by falling length, (sentences,).
        batch_sizes: Number of sentences still running at each step.
        forward: Indices of the packed tokens in the flattened batch, (tokens,).
        flip: Indices among the packed tokens by which each sentence runs from its last token to its first, (tokens,);
            its own inverse.
    """

    width: int
    order: Tensor
    batch_sizes: list[int]
    forward: Tensor
    flip: Tensor

    @classmethod
    def of(cls, lengths: Tensor, width: int | None = None) -> Packing:
        """Pack sentences.

        Computed on the CPU, where each of the small steps takes less time than a launch on a GPU.

        Args:
            lengths: Tokens of each sentence, at least 1, (sentences,).
            width: Tokens that each sentence is padded to; None for the longest.
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
        """Turn (sentences, width, ...) into (tokens, ...)."""
        return padded.flatten(0, 1)[self.forward]

    def unpack(self, packed: Tensor) -> Tensor:
        """Turn (layers, tokens, dim) into (layers, sentences, width, dim), zero past a sentence's end."""
        shape = len(packed), len(self.order), self.width, packed.shape[2]
        padded = packed.new_zeros(shape).flatten(1, 2)
        return padded.index_copy(1, self.forward, packed).reshape(shape)


def join_final_states(ended: list[State]) -> State:
    """Return every sequence's last state in packed order.

    Args:
        ended: The last states of the sequences that ended together, the shortest first.
    """
    h, c = zip(*reversed(ended), strict=True)
    return torch.cat(h, dim=1), torch.cat(c, dim=1)


def split_steps(batch_sizes: list[int], max_tokens: float) -> Iterator[tuple[slice, list[int]]]:
    """Cut the steps of packed sequences into groups of at most `max_tokens` tokens.

    A single step with more tokens is a group of its own.

    Args:
        batch_sizes: Number of sequences still running at each step.
        max_tokens: Maximum size of a group.

    Yields:
        Each group's place among the packed tokens, and its batch sizes.
    """
    start, group = 0, list[int]()
    for size in batch_sizes:
        if group and sum(group) + size > max_tokens:
            yield slice(start, start + sum(group)), group
            start, group = start + sum(group), []
        group.append(size)
    yield slice(start, start + sum(group)), group
