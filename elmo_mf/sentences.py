"""Text files with one tokenised sentence a line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from elmo_mf.errors import InputError
from elmo_mf.io import TextLines

_EXPECTED = "one tokenised sentence a line"
SPLIT_AT_ONCE = 1 << 16  # characters; longer lines are split word by word, to save memory
WORD = re.compile(r"\S+")  # the same white space as that of `str.split`
MOST_WORDS = 1_000_000_000
"""In a text that is held in memory."""


def read_sentences(path: str | Path, max_tokens: int, limit: int | None = None) -> list[list[str]]:
    """Sentences of a file; those longer than `max_tokens` are cut into pieces.

    Args:
        limit: number of lines to keep; all by default.

    Raises:
        InputError: the file is missing, not UTF-8, or has no words or too many.
    """
    return read_with_hash(path, max_tokens, limit)[0]


def read_with_hash(
    path: str | Path, max_tokens: int, limit: int | None = None, *, regular: bool = False
) -> tuple[list[list[str]], str]:
    """As `read_sentences`, with the SHA-256 of the whole text; each distinct word is held in memory once.

    Args:
        regular: refuse pipes, because the text is read again later.
    """
    lines, known = TextLines(path, _EXPECTED, regular=regular), dict[str, str]()
    sentences, n_words = list[list[str]](), 0
    for line in lines:  # to the end of the file, whatever the limit, for the hash
        if limit is not None and lines.lines > limit:
            continue
        for piece in _pieces(line, max_tokens):
            sentences.append([known.setdefault(word, word) for word in piece])
            n_words += len(piece)
        if n_words > MOST_WORDS:
            raise InputError(
                f"{path}: line {lines.lines}: found more than {MOST_WORDS:,} words, expected a smaller text"
            )
    _check_words(path, bool(sentences))
    return sentences, lines.sha256


def stream_sentences(path: str | Path, max_tokens: int) -> Iterator[list[str]]:
    """Yield the sentences of `read_sentences` one by one; refuses pipes, because the text is read more than once."""
    found = False
    for line in TextLines(path, _EXPECTED, regular=True):
        for piece in _pieces(line, max_tokens):
            found = True
            yield piece
    _check_words(path, found)


def words_of(line: str) -> Iterator[str]:
    """The words of a line one by one; a very long line is split lazily."""
    return iter(line.split()) if len(line) <= SPLIT_AT_ONCE else (word.group() for word in WORD.finditer(line))


def _pieces(line: str, max_tokens: int) -> Iterator[list[str]]:
    words = words_of(line)
    while piece := list(itertools.islice(words, max_tokens)):
        yield piece


def _check_words(path: str | Path, found: bool) -> None:
    if not found:
        raise InputError(f"{path}: found no words, expected {_EXPECTED}")
