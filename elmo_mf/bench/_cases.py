"""The cases of a benchmark: parts of the encoder on batches of given sizes and lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from elmo_mf.bilm.characters import batch_to_ids

Part = Literal["characters", "lstm", "encoder"]
PARTS: tuple[Part, ...] = ("characters", "lstm", "encoder")


@dataclass(frozen=True)
class Case:
    """A part of the encoder, and the batch to run it on.

    Attributes:
        part: The part that is timed.
        lengths: Number of tokens of each sentence, without its start and end marks.
    """

    part: Part
    lengths: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Number of steps of all sentences, including start and end marks if the part adds them."""
        return sum(self.lengths) + self._bounds * len(self.lengths)

    @property
    def steps(self) -> int:
        """Number of steps of the longest sentence."""
        return max(self.lengths) + self._bounds

    @property
    def _bounds(self) -> int:
        return 0 if self.part == "lstm" else 2

    @property
    def length(self) -> str:
        """Number of tokens of the sentences, as a text."""
        shortest, longest = min(self.lengths), max(self.lengths)
        return f"{longest}" if shortest == longest else f"{shortest} to {longest}"

    def __str__(self) -> str:
        return f"{self.part}, batch {len(self.lengths)}, length {self.length}"


def cases(parts: Sequence[Part], batches: Sequence[int], lengths: Sequence[int], ragged: bool) -> list[Case]:
    """List the cases of a benchmark: every part with every batch size and length.

    Args:
        parts: Parts of the encoder.
        batches: Batch sizes.
        lengths: Numbers of tokens per sentence.
        ragged: Whether to add, for each part, the largest batch with mixed lengths from half the smallest of `lengths`
            to all of it.
    """
    result = [Case(part, (length,) * batch) for part in parts for length in lengths for batch in batches]
    if ragged:
        batch, length = max(batches), min(lengths)
        spread = np.linspace(max(1, length // 2), length, batch).round().astype(int)
        mixed = tuple(np.random.default_rng(0).permutation(spread).tolist())
        result += [Case(part, mixed) for part in parts]
    return result


def token_vectors(case: Case, dim: int, device: torch.device) -> Tensor:
    """Draw random token vectors for the biLSTM alone.

    Args:
        case: The case.
        dim: Width of the vectors, p.
        device: Device of the result.

    Returns:
        (batch, longest, dim).
    """
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(case.lengths), max(case.lengths), dim, generator=generator).to(device)


def character_ids(case: Case, max_characters: int, device: torch.device) -> Tensor:
    """Draw words by Zipf's law, so that they repeat as in a text.

    Args:
        case: The case.
        max_characters: Character ids of a word.
        device: Device of the result.

    Returns:
        Character ids (batch, longest, max_characters), 0 past a sentence's end.
    """
    rng = np.random.default_rng(0)
    ranks = 1 / np.arange(1, 20_001)
    drawn = rng.choice(len(ranks), size=sum(case.lengths), p=ranks / ranks.sum())
    words = iter(_word(int(rank)) for rank in drawn)
    return batch_to_ids([[next(words) for _ in range(length)] for length in case.lengths], max_characters).to(device)


def _word(rank: int) -> str:
    """Return a spelling for the word of a rank; frequent words are short."""
    rng = np.random.default_rng(rank)
    size = 1 + min(11, int(np.log2(rank + 2) * rng.uniform(0.5, 1.2)))
    return "".join(chr(97 + int(letter)) for letter in rng.integers(0, 26, size))
