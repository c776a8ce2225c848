"""Token indexer for ELMos of ELMoForManyLangs, whose words and characters are namespaces of the model's vocabulary."""

from __future__ import annotations

from collections.abc import Callable

from allennlp.data import TokenIndexer, Vocabulary

from elmo_mf.bilm.unicode_ids import UnicodeIds
from elmo_mf.bilm.vocabulary import Vocabulary as ElmoVocabulary
from elmo_mf.errors import InputError
from elmo_mf.plugin._vocabulary_indexer import VocabularyIndexer
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
class ElmoMfUnicodeIndexer(VocabularyIndexer):
    """Token indexer for an ELMo of ELMoForManyLangs, in place of `elmo_characters`: ids of words and their characters.

    A token has 1 + `max_characters_per_token` ids; see `UnicodeIds`.

    Args:
        namespace: That of the token embedder. Defaults to `elmo_words`.
        max_characters_per_token: That of the ELMo's options. Defaults to 50.
        token_min_padding_length: See `TokenIndexer`. Defaults to 0.
    """

    def __init__(
        self, namespace: str = NAMESPACE, max_characters_per_token: int = 50, token_min_padding_length: int = 0
    ) -> None:
        super().__init__(namespace, 1 + max_characters_per_token, token_min_padding_length)
        self.most_characters = max_characters_per_token
        self._known: tuple[Vocabulary, UnicodeIds] | None = None

    def ids_of(self, vocabulary: Vocabulary) -> Callable[[str], list[int]]:
        """See `VocabularyIndexer.ids_of`."""
        if self._known is None or self._known[0] is not vocabulary:
            words = saved_words(vocabulary, self.namespace)
            characters = saved_words(vocabulary, _of_characters(self.namespace))
            if words is None or characters is None:
                expected = "the words and characters of an ELMo, which its token embedder elmo_mf adds"
                found = f"no namespaces {self.namespace!r} and {_of_characters(self.namespace)!r} in the vocabulary"
                raise InputError("elmo_mf_unicode", f"found {found}, expected {expected}")
            self._known = vocabulary, UnicodeIds(words, characters.words, self.most_characters)
        return self._known[1].of
