"""The word table of a word-level ELMo: one vector for each word of a vocabulary, as bilm-tf trains them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.token_layer import TokenLayer
from elmo_mf.bilm.vocabulary import Vocabulary
from elmo_mf.bilm.weights import Array
from elmo_mf.errors import InputError


class WordTable(TokenLayer):
    """Looks words up in a table; a word that is not in the vocabulary has the vector of `<UNK>`.

    The id of a word is its place in the vocabulary, counted from 1, as in bilm-tf's `TokenBatcher`.

    Args:
        arrays: The dataset `embedding`, (words, p).
        vocabulary: The words of its rows.

    Raises:
        InputError: There are more or fewer words than rows.
    """

    kind, unit, worth_keeping = "word_table", "word", False

    def __init__(self, arrays: dict[str, Array], vocabulary: Vocabulary) -> None:
        super().__init__()
        table = arrays["embedding"]
        if len(table) != len(vocabulary):
            expected = f"{len(table):,}, the rows of the word table"
            raise InputError("vocabulary", f"found {len(vocabulary):,} words, expected {expected}")
        padding = np.zeros((1, table.shape[1]), np.float32)
        self.embedding = nn.Parameter(torch.from_numpy(np.concatenate([padding, table]).astype(np.float32, copy=False)))
        self.vocabulary: Vocabulary = vocabulary
        self.width, self.output_dim = 1, table.shape[1]

    def forward(self, ids: Tensor) -> Tensor:
        """Turn word ids into token vectors.

        Args:
            ids: (tokens, 1).

        Returns:
            (tokens, p).
        """
        return nn.functional.embedding(ids.squeeze(1), self.embedding)

    def word_ids(self, word: str) -> list[int]:
        """Return the id of a word, or of `<UNK>` in its place; see `TokenLayer.word_ids`."""
        return [self.vocabulary.id(word) + 1]

    def arrays(self) -> dict[str, Array]:
        """Return the dataset `embedding`, (words, p)."""
        return {"embedding": self.embedding.detach().cpu().numpy()[1:].copy()}
