"""Formats with one example per line."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from elmo_mf.errors import InputError
from elmo_mf.io import TextLines
from elmo_mf.tasks.formats._data_format import Contents, DataFormat, Example

_NO_MAJORITY = "-"  # label of SNLI's pairs on which annotators disagree


class LineFormat(DataFormat):
    """Format with one example per line."""

    @abstractmethod
    def label(self, line: str) -> str:
        """Return the label of a line.

        Raises:
            ValueError: The line does not have this format; the message says why.
        """

    def foreign(self, line: str) -> str | None:
        """Describe the other known format that a first line belongs to; None if it is unknown."""
        return None

    @staticmethod
    @abstractmethod
    def accepts_blank(line: str) -> bool:
        """Return whether AllenNLP's reader accepts a blank line."""

    def parse(self, path: Path) -> Contents:
        """See `DataFormat.parse`."""
        examples, plain, first = [], True, True
        lines = TextLines(path, self.expected)
        for line in lines:
            if not line.strip():
                plain = plain and self.accepts_blank(line)
                continue
            try:
                label = self.label(line)
            except (ValueError, RecursionError) as error:
                other = self.foreign(line) if first else None
                if other is not None:
                    raise InputError(path, f"found {other}, expected {self.expected}") from None
                raise InputError(
                    path, f"line {lines.lines}", f"found {line[:40]!r}, expected {self.expected} ({error})"
                ) from None
            first = False
            if label != _NO_MAJORITY:
                examples.append(Example(label, line))
        return Contents(examples, plain)

    def render(self, examples: Sequence[Example]) -> str:
        """See `DataFormat.render`."""
        return "".join(f"{example.raw}\n" for example in examples)
