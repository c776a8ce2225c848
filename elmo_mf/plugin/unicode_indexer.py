"""Token indexer for ELMos of ELMoForManyLangs, whose words and characters are namespaces of the model's vocabulary."""

from __future__ import annotations

from typing import Any

import torch
from allennlp.common.util import pad_sequence_to_length
from allennlp.data import Token, TokenIndexer, Vocabulary

from elmo_mf.bilm.unicode_ids import UnicodeIds
from elmo_mf.bilm.vocabulary import Vocabulary as ElmoVocabulary
from elmo_mf.errors import InputError
from elmo_mf.plugin.words_indexer import NAMESPACE, add_words, saved_words


def add_unicode(vocab: Vocabulary, namespace: str, ids: UnicodeIds) -> None:
    """Add the words and characters of an ELMo to a model's vocabulary.

    Args:
        vocab: The model's vocabulary.
        namespace: The namespace that gets the words; that of the characters is its name and `_characters`.
        ids: The words and characters.

    Raises:
        InputError: A namespace has others.
    """
    add_words(vocab, namespace, ids.words)
    add_words(vocab, _of_characters(namespace), ElmoVocabulary(ids.characters))


def _of_characters(namespace: str) -> str:
    return f"{namespace}_characters"


@TokenIndexer.register("elmo_mf_unicode")
class ElmoMfUnicodeIndexer(TokenIndexer):  # type: ignore[misc]
    """Token indexer for an ELMo of ELMoForManyLangs, in place of `elmo_characters`: ids of words and their characters.

    Args:
        namespace: That of the token embedder. Defaults to `elmo_words`.
        max_characters_per_token: That of the ELMo's options. Defaults to 50.
        token_min_padding_length: See `TokenIndexer`. Defaults to 0.
    """

    def __init__(
        self, namespace: str = NAMESPACE, max_characters_per_token: int = 50, token_min_padding_length: int = 0
    ) -> None:
        super().__init__(token_min_padding_length)
        self.namespace, self.most_characters = namespace, max_characters_per_token
        self._known: tuple[Vocabulary, UnicodeIds] | None = None

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
            vocabulary: The model's vocabulary, with the words and characters of the ELMo.

        Returns:
            `elmo_tokens`, a list with the ids of each token, 1 + max_characters_per_token; see `UnicodeIds`.

        Raises:
            InputError: The vocabulary has no words or characters of an ELMo.
        """
        ids = self._ids(vocabulary)
        return {"elmo_tokens": [ids.of(token.ensure_text()) for token in tokens]}

    def _ids(self, vocabulary: Vocabulary) -> UnicodeIds:
        if self._known is None or self._known[0] is not vocabulary:
            words = saved_words(vocabulary, self.namespace)
            characters = saved_words(vocabulary, _of_characters(self.namespace))
            if words is None or characters is None:
                expected = "the words and characters of an ELMo, which its token embedder elmo_mf adds"
                found = f"no namespaces {self.namespace!r} and {_of_characters(self.namespace)!r} in the vocabulary"
                raise InputError(f"elmo_mf_unicode: found {found}, expected {expected}")
            self._known = vocabulary, UnicodeIds(words, characters.words, self.most_characters)
        return self._known[1]

    def as_padded_tensor_dict(
        self, tokens: dict[str, list[Any]], padding_lengths: dict[str, int]
    ) -> dict[str, torch.Tensor]:
        """Return the ids as a tensor.

        Args:
            tokens: What `tokens_to_indices` returned.
            padding_lengths: The number of tokens to pad to.

        Returns:
            `elmo_tokens`, (tokens, 1 + max_characters_per_token), padded with 0.
        """
        empty = [0] * (1 + self.most_characters)
        padded = pad_sequence_to_length(tokens["elmo_tokens"], padding_lengths["elmo_tokens"], lambda: empty)
        return {"elmo_tokens": torch.tensor(padded, dtype=torch.long).reshape(-1, len(empty))}
