"""AllenNLP's indexer `elmo_characters`, faster."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from allennlp.data import Token, TokenIndexer, Vocabulary
from allennlp.data.token_indexers.elmo_indexer import ELMoCharacterMapper, ELMoTokenCharactersIndexer
from torch import Tensor

from elmo_mf.bilm.weights import Array

_WORDS = 100_000  # that are kept, in 40 MB
_CHARACTERS: int = ELMoCharacterMapper.max_word_length


@TokenIndexer.register("elmo_mf_characters")
class ElmoMfCharactersIndexer(ELMoTokenCharactersIndexer):  # type: ignore[misc]
    """Indexer with the tensors of AllenNLP's `elmo_characters`, which looks up words that it has seen.

    A token's ids are an array instead of a list, so that a batch's tensor is not built number by number.
    """

    def tokens_to_indices(self, tokens: list[Token], vocabulary: Vocabulary) -> dict[str, list[Array]]:
        """Return the character ids of tokens.

        Args:
            tokens: The tokens of a text.
            vocabulary: Unused.

        Returns:
            `elmo_tokens`, an array (50,) for each token.
        """
        words = [token.ensure_text() for token in tokens]
        return {
            "elmo_tokens": [self._ids(word) if word in self._mapper.tokens_to_add else _ids(word) for word in words]
        }

    def _ids(self, word: str) -> Array:
        return np.array(self._mapper.convert_word_to_char_ids(word))

    def as_padded_tensor_dict(self, tokens: dict[str, Any], padding_lengths: dict[str, int]) -> dict[str, Tensor]:
        """Return the ids as a tensor.

        Args:
            tokens: What `tokens_to_indices` returned.
            padding_lengths: The number of tokens to pad to.

        Returns:
            `elmo_tokens`, (tokens, 50), zero past the last token.
        """
        longest = padding_lengths["elmo_tokens"]
        rows = tokens["elmo_tokens"][:longest]
        ids = np.zeros((longest, _CHARACTERS), dtype=np.int64)
        if rows:
            ids[: len(rows)] = rows
        return {"elmo_tokens": torch.from_numpy(ids)}


_MAPPER = ELMoCharacterMapper()


@lru_cache(_WORDS)
def _ids(word: str) -> Array:
    return np.array(_MAPPER.convert_word_to_char_ids(word))
