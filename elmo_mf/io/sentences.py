"""Read text files with one tokenised sentence per line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from elmo_mf.errors import InputError, missing
from elmo_mf.io import TextLines

_EXPECTED = "one tokenised sentence per line"
SPLIT_AT_ONCE = 1 << 16  # characters; longer lines are split word by word, to save memory
WORD = re.compile(r"\S+")  # splits at the same white space as `str.split`
MOST_WORDS = 1_000_000_000
"""Largest number of words in a text that is kept in memory."""


def check_texts(texts: Iterable[str | Path | None]) -> None:
    """Check before the work, and before PyTorch is imported, that texts exist; None stands for one that is not given.

    Raises:
        InputError: One of them does not, or is a folder.
    """
    for text in texts:
        if text is not None and not Path(text).exists():
            raise missing(Path(text), "text file", _EXPECTED)
        if text is not None and Path(text).is_dir():
            raise InputError(text, f"found a folder, expected {_EXPECTED}")


def read_sentences(path: str | Path, max_tokens: int, limit: int | None = None) -> list[list[str]]:
    """Read the sentences of a file into memory.

    Args:
        path: The file.
        max_tokens: Length in words at which longer sentences are split into chunks.
        limit: Number of lines to keep; all by default.

    Raises:
        InputError: The file is missing, is not UTF-8, contains no words or too many.
    """
    return read_with_hash(path, max_tokens, limit)[0]


def read_with_hash(
    path: str | Path, max_tokens: int, limit: int | None = None, *, regular: bool = False
) -> tuple[list[list[str]], str]:
    """Read the sentences of a file and the SHA-256 of the whole file, whatever the limit.

    Args:
        path: The file.
        max_tokens: As in `read_sentences`.
        limit: As in `read_sentences`.
        regular: Reject pipes, because the text is read again later.

    Returns:
        Tokenised sentences, and the SHA-256 in hex.

    Raises:
        InputError: As in `read_sentences`.
    """
    lines, distinct = TextLines(path, _EXPECTED, regular=regular), dict[str, str]()
    sentences, n_words = list[list[str]](), 0
    for line in lines:  # reads to the end whatever the limit, for the hash
        if limit is not None and lines.lines > limit:
            continue
        for chunk in chunks(line, max_tokens):
            sentences.append([distinct.setdefault(word, word) for word in chunk])
            n_words += len(chunk)
        if n_words > MOST_WORDS:
            raise InputError(
                path, f"line {lines.lines}", f"found more than {MOST_WORDS:,} words, expected a smaller text"
            )
    _check_words(path, bool(sentences))
    return sentences, lines.sha256


def stream_sentences(path: str | Path, max_tokens: int) -> Iterator[list[str]]:
    """Yield the sentences of `read_sentences` one by one; rejects pipes, because the text is read more than once.

    Args:
        path: Text with one tokenised sentence per line.
        max_tokens: Maximum number of tokens; longer sentences are split.

    Raises:
        InputError: As in `read_sentences`.
    """
    any_words = False
    for line in TextLines(path, _EXPECTED, regular=True):
        for chunk in chunks(line, max_tokens):
            any_words = True
            yield chunk
    _check_words(path, any_words)


def words_of(line: str) -> Iterator[str]:
    """Iterate over the words of a line; a very long line is split lazily."""
    return iter(line.split()) if len(line) <= SPLIT_AT_ONCE else (word.group() for word in WORD.finditer(line))


def chunks(line: str, max_tokens: int) -> Iterator[list[str]]:
    """Yield the words of a line in chunks.

    Args:
        line: The line.
        max_tokens: Maximum number of words in a chunk.
    """
    words = words_of(line)
    while chunk := list(itertools.islice(words, max_tokens)):
        yield chunk


def _check_words(path: str | Path, any_words: bool) -> None:
    if not any_words:
        raise InputError(path, f"found no words, expected {_EXPECTED}")
