"""Tokenised text as word ids, in batches of similar length or in text order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from elmo_mf.bilm.vocabulary import BEGIN, END, UNKNOWN, Vocabulary
from elmo_mf.progress import stage

_SHOWN = 10_000  # sentences between two steps of the progress, which takes longer than a sentence


@dataclass(frozen=True)
class Batch:
    """A batch of sentences, including their start and end marks.

    Attributes:
        types: Indices into `Corpus.characters`, (sentences, longest).
        words: Ids in the vocabulary, (sentences, longest).
        lengths: Number of tokens of each sentence, (sentences,).
        rows: Number of each sentence in the corpus, (sentences,).
    """

    types: Tensor
    words: Tensor
    lengths: Tensor
    rows: Tensor

    @property
    def predictions(self) -> int:
        """Number of words that each direction predicts."""
        return int(self.lengths.sum()) - len(self.lengths)

    def to(self, device: torch.device) -> Batch:
        """Move the batch to a device, except `lengths` and `rows`."""
        return Batch(self.types.to(device), self.words.to(device), self.lengths, self.rows)


class Corpus:
    """Sentences as two kinds of ids: distinct spellings for the input, and words of the vocabulary for the output.

    Args:
        sentences: Tokenised sentences.
        vocabulary: Words of the softmax; other words count as `<UNK>`, in the output only.
        word_ids: Returns the character ids of a token, or its word id, see `TokenLayer`.
    """

    def __init__(
        self, sentences: list[list[str]], vocabulary: Vocabulary, word_ids: Callable[[str], list[int]]
    ) -> None:
        spellings = {END: 0, BEGIN: 1}
        begin, end, unknown = (vocabulary.ids[word] for word in (BEGIN, END, UNKNOWN))
        self._types: list[np.ndarray] = []
        self._words: list[np.ndarray] = []
        with stage("word ids", len(sentences), "sentences") as advance:
            for number, sentence in enumerate(sentences, start=1):
                types = [1, *(spellings.setdefault(word, len(spellings)) for word in sentence), 0]
                words = [begin, *(vocabulary.ids.get(word, unknown) for word in sentence), end]
                self._types.append(np.array(types, np.int32))
                self._words.append(np.array(words, np.int32))
                if number % _SHOWN == 0:
                    advance(_SHOWN)
        self.characters = torch.tensor([word_ids(word) for word in spellings])  # (distinct words, characters)
        self.n_predictions = sum(len(words) - 1 for words in self._words)  # per direction
        self.n_words = self.n_predictions - len(self._words)

    def predictions(self) -> Iterator[int]:
        """Yield the ids that the forward direction predicts: the words and the end of every sentence."""
        for words in self._words:
            yield from words[1:].tolist()

    def batches(self, max_tokens: int, shuffle: np.random.Generator | None) -> Iterator[Batch]:
        """Yield all sentences once, in batches of similar length.

        Args:
            max_tokens: Largest size of a batch in tokens, including padding and sentence bounds, unless one sentence is
                longer. If shuffled, batches may exceed it slightly.
            shuffle: Generator of the order of sentences and batches; None to sort the sentences by length.
        """
        for rows in self._groups(max_tokens, shuffle):
            yield self._batch(rows)

    def streams(self, max_tokens: int) -> Iterator[Batch]:
        """Yield all sentences once, so that each row of a batch continues the same row of the batch before.

        The text is cut into as many contiguous parts as a batch has rows.
        """
        n_rows = self._n_streams(max_tokens)
        quotient, remainder = divmod(len(self._words), n_rows)
        starts = [row * quotient + min(row, remainder) for row in range(n_rows)]
        for step in range(quotient + (remainder > 0)):
            yield self._batch([start + step for start in (starts if step < quotient else starts[:remainder])])

    def n_streamed(self, max_tokens: int) -> int:
        """Return the number of batches of `streams`."""
        return -(-len(self._words) // self._n_streams(max_tokens))

    def _n_streams(self, max_tokens: int) -> int:
        mean_length = sum(map(len, self._words)) / len(self._words)
        return min(len(self._words), max(1, int(max_tokens / mean_length)))

    def _batch(self, rows: list[int]) -> Batch:
        lengths = torch.tensor([len(self._words[row]) for row in rows])
        types, words = torch.zeros(2, len(rows), int(lengths.max()), dtype=torch.long)
        for index, row in enumerate(rows):
            types[index, : lengths[index]] = torch.from_numpy(self._types[row])
            words[index, : lengths[index]] = torch.from_numpy(self._words[row])
        return Batch(types, words, lengths, torch.tensor(rows))

    def n_batches(self, max_tokens: int, shuffle: np.random.Generator | None) -> int:
        """Return the number of batches that `batches` yields; `shuffle` is advanced likewise."""
        return len(self._groups(max_tokens, shuffle))

    def _groups(self, max_tokens: int, shuffle: np.random.Generator | None) -> list[list[int]]:
        order = np.arange(len(self._words))
        noise = np.zeros(len(order))
        if shuffle is not None:
            shuffle.shuffle(order)
            noise = shuffle.uniform(-1, 1, len(order))
        lengths = np.array([len(words) for words in self._words])
        groups: list[list[int]] = [[]]
        for row in order[np.argsort((lengths + noise)[order], kind="stable")]:
            if groups[-1] and (len(groups[-1]) + 1) * lengths[row] > max_tokens:
                groups.append([])
            groups[-1].append(int(row))
        if shuffle is not None:
            shuffle.shuffle(groups)
        return groups
