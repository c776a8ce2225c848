"""Base of the token indexers whose ids are numbers in namespaces of a model's vocabulary."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from allennlp.common.util import pad_sequence_to_length
from allennlp.data import Token, TokenIndexer, Vocabulary


class VocabularyIndexer(TokenIndexer):  # type: ignore[misc]
    """Token indexer for an ELMo whose words are in the vocabulary, where the token embedder `elmo_mf` adds them.

    Args:
        namespace: Namespace of the words.
        ids_per_token: Number of ids of a token.
        token_min_padding_length: See `TokenIndexer`.
    """

    def __init__(self, namespace: str, ids_per_token: int, token_min_padding_length: int) -> None:
        super().__init__(token_min_padding_length)
        self.namespace, self._ids_per_token = namespace, ids_per_token

    @abstractmethod
    def ids_of(self, vocabulary: Vocabulary) -> Callable[[str], list[int]]:
        """Return the function from a word to its ids.

        Raises:
            InputError: The vocabulary lacks a namespace of the ELMo.
        """

    def count_vocab_items(self, token: Token, counter: dict[str, dict[str, int]]) -> None:
        """Count nothing, because the words are those of the ELMo.

        Args:
            token: Unused.
            counter: Unused.
        """

    def get_empty_token_list(self) -> dict[str, list[Any]]:
        """Return the ids of no tokens."""
        return {"elmo_tokens": []}

    def tokens_to_indices(self, tokens: list[Token], vocabulary: Vocabulary) -> dict[str, list[list[int]]]:
        """Return the ids of tokens.

        Args:
            tokens: The tokens of a text.
            vocabulary: The model's vocabulary, with the namespaces of the ELMo.

        Returns:
            `elmo_tokens`, a list with the ids of each token.

        Raises:
            InputError: The vocabulary lacks a namespace of the ELMo.
        """
        ids = self.ids_of(vocabulary)
        return {"elmo_tokens": [ids(token.ensure_text()) for token in tokens]}

    def as_padded_tensor_dict(
        self, tokens: dict[str, list[Any]], padding_lengths: dict[str, int]
    ) -> dict[str, torch.Tensor]:
        """Return the ids as a tensor.

        Args:
            tokens: What `tokens_to_indices` returned.
            padding_lengths: The number of tokens to pad to.

        Returns:
            `elmo_tokens`, (tokens, ids of a token), padded with 0.
        """
        empty = [0] * self._ids_per_token
        padded = pad_sequence_to_length(tokens["elmo_tokens"], padding_lengths["elmo_tokens"], lambda: empty)
        return {"elmo_tokens": torch.tensor(padded, dtype=torch.long).reshape(-1, self._ids_per_token)}
