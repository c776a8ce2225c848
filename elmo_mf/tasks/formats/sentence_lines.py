"""Tokenized text for language models, one sentence per line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from elmo_mf.errors import InputError
from elmo_mf.io import TextLines
from elmo_mf.tasks.formats._data_format import Contents, DataFormat, Example


class SentenceLines(DataFormat):
    """Tokenized text for language models, one sentence per line; an empty line is an empty sentence."""

    NAME = "text-lines"
    VERSION = 1
    expected = "tokenised text, one sentence per line"

    def parse(self, path: Path) -> Contents:
        """Read the lines, see `DataFormat.parse`.

        Raises:
            InputError: The file cannot be read, or has no words.
        """
        lines = list(TextLines(path, self.expected))
        if not any(line.split() for line in lines):
            raise InputError(path, f"found no words, expected {self.expected}")
        return Contents([Example("", line) for line in lines], plain=True)

    def render(self, examples: Sequence[Example]) -> str:
        """See `DataFormat.render`."""
        return "".join(f"{example.raw}\n" for example in examples)

    def chosen(self, examples: Sequence[Example], count: int) -> list[Example]:
        """Return `count` consecutive sentences, if possible from the first nonempty one on, as one text."""
        start = next(index for index, example in enumerate(examples) if example.raw.split())
        start = min(start, len(examples) - count)
        return list(examples[start : start + count])
