"""Ids of words and of their Unicode characters, numbered as in ELMoForManyLangs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from elmo_mf.bilm.characters import BOUNDS
from elmo_mf.bilm.vocabulary import MOST_WORDS, Vocabulary
from elmo_mf.errors import InputError
from elmo_mf.io import TextLines

BEGIN, END, UNKNOWN, PADDING = "<bos>", "<eos>", "<oov>", "<pad>"
FIRST, LAST = "<eow>", "<bow>"
"""Characters around those of a word, in the order in which ELMoForManyLangs takes them: its names are exchanged."""
CHARACTERS = (BEGIN, END, UNKNOWN, PADDING, FIRST, LAST)
"""Entries that a list of characters must have."""
WORDS = (UNKNOWN, PADDING)
"""Entries that a list of words must have."""
_BOUNDS = dict(zip(BOUNDS, (BEGIN, END), strict=True))


@dataclass(frozen=True)
class UnicodeIds:
    """The ids of a token: that of the word, and `most_characters` of its characters, all counted from 1.

    Attributes:
        words: The words, of which `<oov>` stands for all others.
        characters: The characters, of which `<oov>` stands for all others.
        most_characters: Number of character ids of a token, with those around the word and the padding.
    """

    words: Vocabulary
    characters: tuple[str, ...]
    most_characters: int

    def of(self, word: str) -> list[int]:
        """Return the ids of a token.

        A word is cut to `most_characters - 2` characters first. `<S>` and `</S>`, and their names in ELMoForManyLangs,
        `<bos>` and `<eos>`, begin and end a sentence.
        """
        word = _BOUNDS.get(word, word)
        word = word if word in (BEGIN, END) else word[: self.most_characters - 2]
        places, unknown = self._places, self._places[UNKNOWN]
        spelling = [places[word]] if word in (BEGIN, END) else [places.get(one, unknown) for one in word]
        framed = [places[FIRST], *spelling, places[LAST]]
        padding = [places[PADDING]] * (self.most_characters - len(framed))
        return [self.words.ids.get(word, self.words.ids[UNKNOWN]) + 1, *framed, *padding]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {character: place for place, character in enumerate(self.characters, 1)}


def read_words(path: Path) -> Vocabulary:
    """Read the words of a Unicode CNN, one per line, which may have white space within or around them.

    Raises:
        InputError: The file cannot be read, has too many words or one twice, or lacks `<oov>` or `<pad>`.
    """
    words = list(islice(TextLines(path, "words of a Unicode CNN, one per line", regular=True), MOST_WORDS + 1))
    if len(words) > MOST_WORDS:
        raise InputError(path, f"found more than {MOST_WORDS:,} words, expected fewer")
    check_entries(words, WORDS, str(path))
    return Vocabulary(tuple(words))


def check_entries(entries: Iterable[str], needed: Iterable[str], where: str) -> None:
    """Check a list of words or characters.

    Args:
        entries: The words or characters.
        needed: Entries that must be among them.
        where: What is read, for the error.

    Raises:
        InputError: An entry occurs twice, or one that is needed is missing.
    """
    seen = set[str]()
    for entry in entries:
        if entry in seen:
            raise InputError(where, f"found {entry[:40]!r} twice, expected distinct entries")
        seen.add(entry)
    if lacking := [entry for entry in needed if entry not in seen]:
        raise InputError(where, f"found no {', '.join(lacking)}, expected them among the entries")
