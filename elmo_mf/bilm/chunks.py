"""Sentences of any length in bounded memory: both directions run chunk by chunk, carrying their state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.weights import Array


class Chunk(NamedTuple):
    """One direction's half of the vectors of some tokens.

    Attributes:
        start: Position of the first token in the sentence.
        direction: 0 for forward, the columns from 0; 1 for backward, the columns from p.
        vectors: (n_layers + 1, tokens, p).
    """

    start: int
    direction: int
    vectors: Array


@torch.no_grad()
def embed_in_chunks(bilm: Bilm, sentence: Sequence[str], tokens: int) -> Iterator[Chunk]:
    """Compute the vectors of a sentence that `bilm.embed` gives, some tokens at a time.

    While the forward direction goes from the first chunk to the last, the backward direction goes from the last to the
    first, so that both step together.

    Args:
        bilm: The encoder; its state policy must not be `carried`.
        sentence: Tokens.
        tokens: Tokens of a chunk at most.

    Yields:
        Chunks that together cover each token once for each direction.
    """
    length = len(sentence) + 2
    states = bilm.fixed_states(1)
    for start in range(0, length, tokens):
        stop = min(start + tokens, length)
        ahead = _tokens(bilm, sentence, start, stop)
        behind = _tokens(bilm, sentence, length - stop, length - start).flip(0)
        stacked = torch.stack([ahead, behind])
        outputs, states = bilm.run_layers(stacked, [1] * (stop - start), states)
        layers = torch.stack([stacked, *outputs]).cpu()
        yield from _without_bounds(start, 0, layers[:, 0], len(sentence))
        yield from _without_bounds(length - stop, 1, layers[:, 1].flip(1), len(sentence))


def _tokens(bilm: Bilm, sentence: Sequence[str], start: int, stop: int) -> Tensor:
    """Token vectors (stop - start, p); position 0 begins the sentence, and the one after its words ends it."""
    words = sentence[max(start - 1, 0) : stop - 1]
    ids = bilm.token_ids([words])[0].to(bilm.bounds.device)
    begin, end = bilm.bounds
    parts = [begin.unsqueeze(0)] if start == 0 else []
    parts += [ids] if len(words) else []
    parts += [end.unsqueeze(0)] if stop == len(sentence) + 2 else []
    return bilm.token_vectors(torch.cat(parts))


def _without_bounds(start: int, direction: int, vectors: Tensor, words: int) -> Iterator[Chunk]:
    """The chunk without the tokens that begin and end the sentence, if it has others."""
    first, last = max(start, 1), min(start + vectors.shape[1], words + 1)
    if first < last:
        yield Chunk(first - 1, direction, vectors[:, first - start : last - start].numpy().copy())
