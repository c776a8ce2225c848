"""Words of a word-level ELMo in AllenNLP: a namespace of the model's vocabulary, and an indexer for it.

The token embedder `elmo_mf` adds the words of its ELMo to the vocabulary, in their order. AllenNLP saves them with the
model, so that an archive needs no other file.
"""

from __future__ import annotations

from collections.abc import Callable

from allennlp.data import TokenIndexer, Vocabulary

from elmo_mf.bilm.vocabulary import UNKNOWN
from elmo_mf.bilm.vocabulary import Vocabulary as ElmoVocabulary
from elmo_mf.errors import InputError
from elmo_mf.plugin._vocabulary_indexer import VocabularyIndexer

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
        raise InputError("namespace", f"found {namespace!r}, which has other words than this ELMo, expected a new name")


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
class ElmoMfWordsIndexer(VocabularyIndexer):
    """Token indexer for a word-level ELMo, in place of `elmo_characters`: tokens to word ids, as bilm-tf numbers them.

    A token has one id, counted from 1.

    Args:
        namespace: That of the token embedder. Defaults to `elmo_words`.
        token_min_padding_length: See `TokenIndexer`. Defaults to 0.
    """

    def __init__(self, namespace: str = NAMESPACE, token_min_padding_length: int = 0) -> None:
        super().__init__(namespace, 1, token_min_padding_length)

    def ids_of(self, vocabulary: Vocabulary) -> Callable[[str], list[int]]:
        """See `VocabularyIndexer.ids_of`."""
        if self.namespace not in vocabulary.get_namespaces():
            expected = "the words of a word-level ELMo, which its token embedder elmo_mf adds"
            raise InputError(
                "elmo_mf_words", f"found no namespace {self.namespace!r} in the vocabulary, expected {expected}"
            )
        places = vocabulary.get_token_to_index_vocabulary(self.namespace)
        unknown = places[UNKNOWN]
        before = _FIRST - 1  # ids are counted from 1

        def ids(word: str) -> list[int]:
            place = places.get(word, unknown)
            return [(place if place >= _FIRST else unknown) - before]  # AllenNLP's own entries are no words

        return ids
