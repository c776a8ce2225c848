"""Tokenised text as word ids, in batches of similar length or in text order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from elmo_mf.bilm.characters import character_ids, sentence_bound
from elmo_mf.errors import InputError
from elmo_mf.io import TextLines, atomic_path

END, BEGIN, UNKNOWN = SPECIAL = ("</S>", "<S>", "<UNK>")
MOST_WORDS = 10_000_000
"""Largest number of words in a vocabulary file."""
UNUSED = "!!!MAXTERMID"
"""Line of a vocabulary file that is no word."""


@dataclass(frozen=True)
class Vocabulary:
    """The words of the softmax: `</S>`, `<S>`, `<UNK>` and then the most frequent words; or the words of a file."""

    words: tuple[str, ...]

    @classmethod
    def count(cls, sentences: list[list[str]], min_count: int, max_words: int | None = None) -> Vocabulary:
        """Build the vocabulary of the words, at most `max_words`, that occur at least `min_count` times."""
        counts = Counter(word for sentence in sentences for word in sentence)
        for special in SPECIAL:
            counts.pop(special, None)
        known = [word for word, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])) if n >= min_count]
        return cls((*SPECIAL, *known[:max_words]))

    @classmethod
    def from_file(cls, path: Path) -> Vocabulary:
        """Read a file with one word per line, as `save` and bilm-tf write it, with or without the three special words.

        The id of a word is its line number, counted from 0 as in bilm-tf; bilm-tf's marks of unused lines are skipped.
        If the file lacks the special words, they come first.

        Raises:
            InputError: The file cannot be read, has only some of the special words, a duplicate or too many words.
        """
        lines = TextLines(path, "the softmax's words, one a line", regular=True)
        seen: dict[str, None] = {}
        for line in lines:
            word = line.strip()
            if word == UNUSED:
                continue
            if word in seen or word.split() != [word]:
                raise InputError(f"{path}: line {lines.lines}: found {word[:40]!r}, expected a word that is new")
            if len(seen) == MOST_WORDS:
                raise InputError(f"{path}: found more than {MOST_WORDS:,} words, expected fewer")
            seen[word] = None
        lacking = [word for word in SPECIAL if word not in seen]
        if not seen or len(lacking) in (1, 2):
            found = f"no {', '.join(lacking)}" if seen else "no words"
            raise InputError(
                f"{path}: found {found}, expected one word a line, with all of {', '.join(SPECIAL)} or none"
            )
        return cls((*lacking, *seen))

    def save(self, path: Path) -> None:
        """Write one word per line, atomically."""
        with atomic_path(path) as temporary:
            temporary.write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8")

    @cached_property
    def ids(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)


@dataclass(frozen=True)
class Batch:
    """A batch of sentences, including their start and end marks.

    Attributes:
        types: Indices into `Corpus.characters`, (sentences, longest).
        words: Ids in the vocabulary, (sentences, longest).
        lengths: Number of tokens of each sentence, (sentences,).
    """

    types: Tensor
    words: Tensor
    lengths: Tensor

    @property
    def predictions(self) -> int:
        """Number of words that each direction predicts."""
        return int(self.lengths.sum()) - len(self.lengths)

    def to(self, device: torch.device) -> Batch:
        """Move the batch to a device, except `lengths`."""
        return Batch(self.types.to(device), self.words.to(device), self.lengths)


class Corpus:
    """Sentences as two kinds of ids: distinct spellings for the input, and words of the vocabulary for the output.

    Args:
        sentences: Tokenised sentences.
        vocabulary: Words of the softmax; other words count as `<UNK>`, in the output only.
        max_characters: Number of characters per token.
    """

    def __init__(self, sentences: list[list[str]], vocabulary: Vocabulary, max_characters: int) -> None:
        spellings = {END: 0, BEGIN: 1}
        begin, end, unknown = (vocabulary.ids[word] for word in (BEGIN, END, UNKNOWN))
        self._types: list[np.ndarray] = []
        self._words: list[np.ndarray] = []
        for sentence in sentences:
            types = [1, *(spellings.setdefault(word, len(spellings)) for word in sentence), 0]
            words = [begin, *(vocabulary.ids.get(word, unknown) for word in sentence), end]
            self._types.append(np.array(types, np.int32))
            self._words.append(np.array(words, np.int32))
        rows = [sentence_bound(False, max_characters), sentence_bound(True, max_characters)]
        rows += [character_ids(word, max_characters) for word in list(spellings)[2:]]
        self.characters = torch.tensor(rows)  # (distinct words, characters)
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
        quotient, rest = divmod(len(self._words), n_rows)
        starts = [row * quotient + min(row, rest) for row in range(n_rows)]
        for step in range(quotient + (rest > 0)):
            yield self._batch([start + step for start in (starts if step < quotient else starts[:rest])])

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
        return Batch(types, words, lengths)

    def n_batches(self, max_tokens: int, shuffle: np.random.Generator | None) -> int:
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
