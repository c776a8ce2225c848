"""Vocabularies of words, one word per line, as bilm-tf and this project write them."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from elmo_mf.errors import InputError
from elmo_mf.io import TextLines, atomic_path

END, BEGIN, UNKNOWN = SPECIAL = ("</S>", "<S>", "<UNK>")
MOST_WORDS = 10_000_000
"""Largest number of words in a vocabulary file."""
UNUSED = "!!!MAXTERMID"
"""Line of a vocabulary file that is no word."""


@dataclass(frozen=True)
class Vocabulary:
    """Distinct words, each of which has its place as its id, counted from 0.

    `</S>`, `<S>` and `<UNK>` are among them, and come first where the words were counted.
    """

    words: tuple[str, ...]

    @classmethod
    def count(cls, sentences: list[list[str]], min_count: int, max_words: int | None = None) -> Vocabulary:
        """Build the vocabulary of a text.

        Args:
            sentences: Tokenised sentences.
            min_count: Occurrences that a word must have.
            max_words: Largest number of words besides the special ones; None for no limit.

        Returns:
            `</S>`, `<S>` and `<UNK>`, then words from frequent to rare, in alphabetical order where they are as
            frequent.
        """
        counts = Counter(word for sentence in sentences for word in sentence)
        for special in SPECIAL:
            counts.pop(special, None)
        known = [word for word, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])) if n >= min_count]
        return cls((*SPECIAL, *known[:max_words]))

    @classmethod
    def from_file(cls, path: Path) -> Vocabulary:
        """Read the words of a softmax, one per line, as `save` and bilm-tf write them, with or without special words.

        The id of a word is its line number, counted from 0 as in bilm-tf; bilm-tf's marks of unused lines are skipped.
        If the file lacks the special words, they come first.

        Returns:
            The vocabulary.

        Raises:
            InputError: The file cannot be read, has only some of the special words, a duplicate or too many words.
        """
        lines = TextLines(path, "the softmax's words, one per line", regular=True)
        seen: dict[str, None] = {}
        for line in lines:
            word = line.strip()
            if word == UNUSED:
                continue
            if word in seen or word.split() != [word]:
                raise InputError(
                    path, f"line {lines.lines}", f"found {word[:40]!r}, expected a single word that is not repeated"
                )
            if len(seen) == MOST_WORDS:
                raise InputError(path, f"found more than {MOST_WORDS:,} words, expected fewer")
            seen[word] = None
        lacking = [word for word in SPECIAL if word not in seen]
        if not seen or len(lacking) in (1, 2):
            found = f"no {', '.join(lacking)}" if seen else "no words"
            raise InputError(
                path, f"found {found}, expected one word per line, with all of {', '.join(SPECIAL)} or none"
            )
        return cls((*lacking, *seen))

    def save(self, path: Path) -> None:
        """Write one word per line, atomically."""
        with atomic_path(path) as temporary:
            temporary.write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8")

    @cached_property
    def ids(self) -> dict[str, int]:
        """The ids by word."""
        return {word: index for index, word in enumerate(self.words)}

    def id(self, word: str) -> int:
        """Return the id of a word; that of `<UNK>` for a word that is not in the vocabulary."""
        number = self.ids.get(word)
        return self.ids[UNKNOWN] if number is None else number

    @property
    def sha256(self) -> str:
        """The SHA-256 of the words, in hex."""
        return hashlib.sha256("\n".join(self.words).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.words)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary file, line by line as bilm-tf does, so that words keep their rows of a softmax or a word table.

    bilm-tf accepts a line that occurs again further down, of which it uses the last, and lines with white space within,
    which no word of a text equals. Their rows have a share in every probability but are never predicted or looked up:
    here they are named `!!!ROW` and their number, because words of `Vocabulary` are distinct.

    Args:
        path: One word per line, with `<S>`, `</S>` and `<UNK>`.

    Returns:
        The vocabulary, with a word for each row.

    Raises:
        InputError: The file cannot be read, has too many lines or lacks one of the three words.
    """
    rows = read_rows(path)
    last = {word: row for row, word in enumerate(rows)}
    lacking = [word for word in SPECIAL if word not in last]
    if lacking:
        expected = f"one word per line, with {', '.join(SPECIAL)} as in training"
        raise InputError(path, f"found no {', '.join(lacking)}, expected {expected}")
    return Vocabulary(
        tuple(word if word.split() == [word] and last[word] == row else f"!!!ROW{row}" for row, word in enumerate(rows))
    )


def read_rows(path: Path) -> list[str]:
    """Read the lines of a vocabulary file without surrounding white space, and without bilm-tf's marks of unused lines.

    Returns:
        The lines in order, duplicates included.

    Raises:
        InputError: The file cannot be read or has too many lines.
    """
    rows: list[str] = []
    for line in TextLines(path, "the vocabulary that the model was trained with, one word per line", regular=True):
        if (word := line.strip()) != UNUSED:
            rows.append(word)
        if len(rows) > MOST_WORDS:
            raise InputError(path, f"found more than {MOST_WORDS:,} words, expected fewer")
    return rows
