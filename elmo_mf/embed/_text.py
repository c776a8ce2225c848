"""Read the input, one tokenised sentence per line, in windows of lines."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, overload

from elmo_mf.errors import InputError
from elmo_mf.io import TextLines, output_errors
from elmo_mf.io.sentences import SPLIT_AT_ONCE, WORD, words_of

_EXPECTED = "one tokenised sentence per line"


@dataclass(frozen=True)
class TextFile:
    """A text that has been scanned once.

    Attributes:
        path: The file, or the copy of a pipe's content.
        lines: Number of lines.
        sha256: SHA-256 of the content.
        words: Number of words.
        copied: Whether `path` is a copy.
    """

    path: Path
    lines: int
    sha256: str
    words: int = 0
    copied: bool = False

    @classmethod
    def scan(cls, path: Path, copy: Path | None = None) -> TextFile:
        """Read a text to its end.

        Args:
            path: The file.
            copy: File for the lines if `path` is a pipe or a device, which can be read only once.

        Raises:
            InputError: The file is missing, empty, or not UTF-8; names the line.
        """
        text, n_words = TextLines(path, _EXPECTED), 0
        copying = copy is not None and path.exists() and not (path.is_file() or path.is_dir())
        with text_writer(copy) if copying and copy else nullcontext() as file:
            for line in text:
                n_words += _count(line)
                if file is not None:
                    file.write(f"{line}\n")
        if not text.lines:
            raise InputError(path, f"found no lines, expected {_EXPECTED}")
        return cls(copy if copying and copy else path, text.lines, text.sha256, n_words, copying)

    def sentences(self) -> Iterator[str]:
        """Yield all lines without surrounding white space.

        Raises:
            InputError: The text has changed since it was scanned.
        """
        text = TextLines(self.path, _EXPECTED)
        for line in text:
            yield line.strip()
        if not self.copied and text.sha256 != self.sha256:
            raise InputError(self.path, "the text has changed during the run, expected an unchanged file")


@contextmanager
def text_writer(path: Path) -> Iterator[TextIO]:
    """Open a new UTF-8 file for writing.

    Raises:
        OutputError: The file cannot be written.
    """
    with output_errors(path), open(path, "w", encoding="utf-8", newline="\n") as file:
        yield file


@dataclass(frozen=True)
class Window:
    """Consecutive lines; `start` is the number of the first, counted from 0."""

    start: int
    sentences: list[str]


def windows(text: TextFile, lines: int, tokens: int, characters: int = 1 << 24) -> Iterator[Window]:
    """Split a text into windows of lines.

    Args:
        text: The text.
        lines: Largest number of lines of a window.
        tokens: Number of tokens at which a window ends early.
        characters: Number of characters at which it does too, because tokens can be very long. Defaults to 2^24.

    Yields:
        The windows in order.
    """
    start, kept, n_tokens, n_characters = 0, list[str](), 0, 0
    for number, sentence in enumerate(text.sentences()):
        kept.append(sentence)
        n_tokens += _count(sentence)
        n_characters += len(sentence)
        if len(kept) == lines or n_tokens >= tokens or n_characters >= characters:
            yield Window(start, kept)
            start, kept, n_tokens, n_characters = number + 1, [], 0, 0
    if kept:
        yield Window(start, kept)


def split(sentence: str) -> Sequence[str]:
    """Split a sentence into words; a very long one is split lazily."""
    return sentence.split() if len(sentence) <= SPLIT_AT_ONCE else LazyWords(sentence)


def _count(sentence: str) -> int:
    return sum(1 for _ in words_of(sentence))


class LazyWords(Sequence[str]):
    """The words of a sentence, found on demand from the positions of some.

    Args:
        sentence: The sentence.
        step: Number of words from one known position to the next. Defaults to 1024.
    """

    def __init__(self, sentence: str, step: int = 1024) -> None:
        self._sentence, self._step = sentence, step
        self._starts, self._length = array("q"), 0
        for match in WORD.finditer(sentence):
            if self._length % step == 0:
                self._starts.append(match.start())
            self._length += 1

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if not isinstance(index, slice):
            index = range(self._length)[index]
            return self._between(index, index + 1)[0]
        start, stop, step = index.indices(self._length)
        if step != 1:
            raise ValueError("slices of words need a step of 1")
        return self._between(start, stop)

    def _between(self, start: int, stop: int) -> list[str]:
        block = start // self._step
        matches = WORD.finditer(self._sentence, self._starts[block]) if start < stop else iter(())
        skipped = start - block * self._step
        return [match.group() for match in itertools.islice(matches, skipped, skipped + max(0, stop - start))]
