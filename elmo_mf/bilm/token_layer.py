"""The token layer: what turns tokens into vectors in front of the biLSTM."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from elmo_mf.bilm.characters import BOUNDS, padded_ids
from elmo_mf.bilm.vocabulary import Vocabulary
from elmo_mf.bilm.weights import Array


class TokenLayer(nn.Module, ABC):
    """Base of the character CNN, of that of Unicode characters and words, and of the word table.

    A token is given by `width` ids, none of which is 0, the padding: those of its characters, the one of the word,
    or both.

    Attributes:
        kind: Name of the layer in the names of an encoder's parameters.
        unit: What an id stands for.
        worth_keeping: Whether a vector takes longer to compute than to find again.
        width: Ids of a token.
        output_dim: Width of the vectors, p.
        embedding: Vectors of the ids.
        vocabulary: The words that the layer has vectors of; None if it has characters only.
    """

    kind: ClassVar[str]
    unit: ClassVar[str]
    worth_keeping: ClassVar[bool]
    width: int
    output_dim: int
    embedding: nn.Parameter
    vocabulary: Vocabulary | None = None

    @abstractmethod
    def forward(self, ids: Tensor) -> Tensor:
        """Turn ids into token vectors.

        Args:
            ids: (tokens, width).

        Returns:
            (tokens, p).
        """

    @abstractmethod
    def word_ids(self, word: str) -> list[int]:
        """Return the ids of a token; for `<S>` and `</S>`, those of the beginning and the end of a sentence."""

    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """Return the parameters as the datasets that they came from."""

    def keep_only_copies(self) -> None:
        """Free the parameters that have copies in a lower precision, see `Bilm`."""

    def ids(self, sentences: Iterable[Iterable[str]]) -> Tensor:
        """Turn tokenised sentences into ids.

        Args:
            sentences: Lists of tokens.

        Returns:
            (sentences, longest, width), 0 past a sentence's end; see `padded_ids`.
        """
        return padded_ids(sentences, self.word_ids, self.width)

    def bounds(self) -> Tensor:
        """Return the ids of the tokens that begin and end a sentence, (2, width)."""
        return torch.tensor([self.word_ids(word) for word in BOUNDS])
