"""The phrases of the Stanford Sentiment Treebank as training examples."""

from collections.abc import Iterable
from typing import Any, Optional

from allennlp.data import DatasetReader, Instance, Token, TokenIndexer
from allennlp.data.fields import LabelField, TextField
from allennlp.data.token_indexers import SingleIdTokenIndexer

from elmo_mf.addresses import local_path
from elmo_mf.io import TextLines
from elmo_mf.sentiment_trees import phrases

VERSION = 1
"""Version of this reader and of `elmo_mf.sentiment_trees`, part of a run's identity; raised when phrases change."""


@DatasetReader.register("sst_phrases")
class SstPhrasesReader(DatasetReader):  # type: ignore[misc]
    """Reader of bracketed sentiment trees whose subtrees are examples of their own, if they are long enough.

    AllenNLP's `sst_tokens` reads all subtrees or none. Most subtrees are single words, which cost as much time as they
    have tokens and teach little. A phrase that occurs again with the same label is read once.

    Args:
        min_words: Smallest number of words of a phrase; whole sentences may be shorter. Defaults to 1.
        token_indexers: Indexers of the field `tokens`. Defaults to single ids.
        kwargs: Those of `DatasetReader`.
    """

    def __init__(
        self,
        min_words: int = 1,
        token_indexers: Optional[dict[str, TokenIndexer]] = None,  # noqa: UP045, as AllenNLP reads it
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._min_words = min_words
        self._indexers = token_indexers or {"tokens": SingleIdTokenIndexer()}

    def _read(self, file_path: str) -> Iterable[Instance]:
        lines = TextLines(local_path(file_path), "bracketed trees, one per line")
        for words, label in phrases(lines, self._min_words):
            yield self.text_to_instance(words, label)

    def text_to_instance(self, words: list[str], label: str | None = None) -> Instance:
        """Build the instance of one phrase.

        Args:
            words: Its words.
            label: Its label, `0` to `4`; None if it is not known.

        Returns:
            An instance with `tokens` and, if it is known, `label`.
        """
        fields: dict[str, Any] = {"tokens": TextField([Token(word) for word in words])}
        if label is not None:
            fields["label"] = LabelField(label)
        return Instance(fields)

    def apply_token_indexers(self, instance: Instance) -> None:
        """Give the instance's field the indexers, see `DatasetReader`."""
        instance["tokens"].token_indexers = self._indexers
