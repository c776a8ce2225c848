"""Words of a word-level ELMo in AllenNLP: a namespace of the model's vocabulary, and an indexer for it.

The token embedder `elmo_mf` adds the words of its ELMo to the vocabulary, in their order. AllenNLP saves them with the
model, so that an archive needs no other file.
"""

from __future__ import annotations

from typing import Any

import torch
from allennlp.common.util import pad_sequence_to_length
from allennlp.data import Token, TokenIndexer, Vocabulary

from elmo_mf.bilm.vocabulary import UNKNOWN
from elmo_mf.bilm.vocabulary import Vocabulary as ElmoVocabulary
from elmo_mf.errors import InputError

NAMESPACE = "elmo_words"
_FIRST = 2  # index of the first word, behind AllenNLP's padding and unknown word


def add_words(vocab: Vocabulary, namespace: str, words: ElmoVocabulary) -> None:
    """Add the words of an ELMo to a model's vocabulary.

    Args:
        vocab: The model's vocabulary.
        namespace: The namespace that gets the words, or has them already.
        words: The words, in their order.

    Raises:
        InputError: The namespace has other words.
    """
    if namespace not in vocab.get_namespaces():
        vocab.add_tokens_to_namespace(list(words.words), namespace)
    if saved_words(vocab, namespace) != words:
        raise InputError(f"namespace: found {namespace!r}, which has other words than this ELMo, expected a new name")


def saved_words(vocab: Vocabulary | None, namespace: str) -> ElmoVocabulary | None:
    """Return the words of an ELMo that a vocabulary has; None if it has none.

    Args:
        vocab: A model's vocabulary; None for none.
        namespace: Their namespace.
    """
    if vocab is None or namespace not in vocab.get_namespaces():
        return None
    words = vocab.get_index_to_token_vocabulary(namespace)
    return ElmoVocabulary(tuple(words[index] for index in range(_FIRST, len(words))))


@TokenIndexer.register("elmo_mf_words")
class ElmoMfWordsIndexer(TokenIndexer):  # type: ignore[misc]
    """Token indexer for a word-level ELMo, in place of `elmo_characters`: tokens to word ids, as bilm-tf numbers them.

    Args:
        namespace: That of the token embedder. Defaults to `elmo_words`.
        token_min_padding_length: See `TokenIndexer`. Defaults to 0.
    """

    def __init__(self, namespace: str = NAMESPACE, token_min_padding_length: int = 0) -> None:
        super().__init__(token_min_padding_length)
        self.namespace = namespace

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
        """Return the word ids of tokens.

        Args:
            tokens: The tokens of a text.
            vocabulary: The model's vocabulary, with the words of the ELMo.

        Returns:
            `elmo_tokens`, a list with the id of each token, counted from 1.

        Raises:
            InputError: The vocabulary has no words of an ELMo.
        """
        if self.namespace not in vocabulary.get_namespaces():
            expected = "the words of a word-level ELMo, which its token embedder elmo_mf adds"
            raise InputError(
                f"elmo_mf_words: found no namespace {self.namespace!r} in the vocabulary, expected {expected}"
            )
        places = vocabulary.get_token_to_index_vocabulary(self.namespace)
        indices = (places.get(token.ensure_text(), 0) for token in tokens)
        return {"elmo_tokens": [[(place if place >= _FIRST else places[UNKNOWN]) - _FIRST + 1] for place in indices]}

    def as_padded_tensor_dict(
        self, tokens: dict[str, list[Any]], padding_lengths: dict[str, int]
    ) -> dict[str, torch.Tensor]:
        """Return the ids as a tensor.

        Args:
            tokens: What `tokens_to_indices` returned.
            padding_lengths: The number of tokens to pad to.

        Returns:
            `elmo_tokens`, (tokens, 1), padded with 0.
        """
        padded = pad_sequence_to_length(tokens["elmo_tokens"], padding_lengths["elmo_tokens"], lambda: [0])
        return {"elmo_tokens": torch.LongTensor(padded)}
