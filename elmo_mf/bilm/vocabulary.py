"""Vocabularies of words, one word a line, as bilm-tf and this project write them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from elmo_mf.errors import InputError
from elmo_mf.io import TextLines, atomic_path

BEGIN, END, UNKNOWN = SPECIAL = ("<S>", "</S>", "<UNK>")
MOST_WORDS = 10_000_000
"""Largest number of words in a vocabulary file."""
UNUSED = "!!!MAXTERMID"
"""Line of a vocabulary file that is no word."""


@dataclass(frozen=True)
class Vocabulary:
    """Words, each of which has its place as its id, counted from 0 on. Among them are `<S>`, `</S>` and `<UNK>`."""

    words: tuple[str, ...]

    @classmethod
    def from_file(cls, path: str | Path) -> Vocabulary:
        """Read a file with one word a line; a file whose name ends in `.gz` is decompressed.

        bilm-tf's marks of unused lines are skipped.

        Raises:
            InputError: The file cannot be read, lacks one of the three special words, has a duplicate or too many
                words.
        """
        words = read_words(path)
        lacking = [word for word in SPECIAL if word not in words]
        if lacking:
            found = f"no {' and no '.join(lacking)}" if words else "no words"
            raise InputError(f"{path}: found {found}, expected one word a line, with {', '.join(SPECIAL)}")
        return cls(tuple(words))

    def save(self, path: Path) -> None:
        """Write one word a line, atomically."""
        with atomic_path(path) as temporary:
            temporary.write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8")

    @cached_property
    def ids(self) -> dict[str, int]:
        """The ids by word."""
        return {word: index for index, word in enumerate(self.words)}

    def id(self, word: str) -> int:
        """Return the id of a word; of `<UNK>` for a word that is not there."""
        found = self.ids.get(word)
        return self.ids[UNKNOWN] if found is None else found

    @property
    def sha256(self) -> str:
        """The SHA-256 of the words, in hex."""
        return hashlib.sha256("\n".join(self.words).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.words)


def read_words(path: str | Path) -> dict[str, None]:
    """Read distinct words, one a line, in their order.

    Raises:
        InputError: The file cannot be read, has a line that is not one word, a duplicate or too many words.
    """
    lines = TextLines(path, "a vocabulary, one word a line", regular=True)
    words: dict[str, None] = {}
    for line in lines:
        word = line.strip()
        if word == UNUSED:
            continue
        if word in words or word.split() != [word]:
            raise InputError(f"{path}: line {lines.lines}: found {word[:40]!r}, expected a word that is new")
        if len(words) == MOST_WORDS:
            raise InputError(f"{path}: found more than {MOST_WORDS:,} words, expected fewer")
        words[word] = None
    return words
