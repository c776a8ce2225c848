"""The input: one tokenised sentence a line, read a window at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elmo_mf.errors import InputError, missing


@dataclass(frozen=True)
class TextFile:
    """`lines` and the SHA-256 of a file that has been read once, to the end, as UTF-8."""

    path: Path
    lines: int
    sha256: str

    @classmethod
    def scan(cls, path: Path) -> TextFile:
        """Read it through.

        # Raises
        InputError: the file is missing, empty, or not UTF-8; names the line.
        """
        digest, number = hashlib.sha256(), 0
        try:
            with open(path, "rb") as file:
                for line in file:
                    number += 1
                    digest.update(line)
                    line.decode("utf-8")
        except FileNotFoundError:
            raise missing(path, "text file", "one tokenised sentence a line") from None
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: line {number}: found {error.reason}, expected UTF-8") from None
        except OSError as error:
            raise InputError(f"{path}: found something unreadable ({error}), expected a text file") from None
        if not number:
            raise InputError(f"{path}: found no lines, expected one tokenised sentence a line")
        return cls(path, number, digest.hexdigest())

    def sentences(self) -> Iterator[str]:
        """All lines without their ends."""
        with open(self.path, "rb") as file:
            for line in file:
                yield line.decode("utf-8").strip()


@dataclass(frozen=True)
class Window:
    """Some lines from number `start` on, counted from 0."""

    start: int
    sentences: list[str]


def windows(text: TextFile, lines: int, tokens: int) -> Iterator[Window]:
    """The file in windows of at most `lines` lines; one that reaches `tokens` tokens ends there."""
    start, kept, size = 0, [], 0
    for number, sentence in enumerate(text.sentences()):
        kept.append(sentence)
        size += len(sentence.split())
        if len(kept) == lines or size >= tokens:
            yield Window(start, kept)
            start, kept, size = number + 1, [], 0
    if kept:
        yield Window(start, kept)
