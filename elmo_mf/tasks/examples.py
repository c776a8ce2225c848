"""What is common to the tasks' data formats: examples, and files that are read whole, checked, and written again."""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError
from elmo_mf.io import atomic_path, open_regular

_OTHERS = {
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"\x1f\x8b": "a file compressed by gzip",
    b"BZh": "a file compressed by bzip2",
    b"\xfd7zXZ": "a file compressed by xz",
    b"PK\x03\x04": "a zip archive",
    b"\x89HDF": "an HDF5 file",
}
"""What files that are no text begin with."""


@dataclass(frozen=True)
class Example:
    """One unit that a limit counts: its label or answer, and what it takes to write it again."""

    label: str
    raw: Any


@dataclass(frozen=True)
class Contents:
    """The examples of a file, and whether it is `plain`, so that AllenNLP's reader takes it as it is."""

    examples: list[Example]
    plain: bool


class DataFormat(ABC):
    """Reads a data file into examples and writes some of them back in the same form.

    What it reads, AllenNLP's reader reads too, from the file itself where that is plain, else from one written anew.
    """

    expected: str
    """What messages say should be there."""

    @abstractmethod
    def parse(self, path: Path) -> Contents:
        """All examples; InputError names the file and what of it is wrong."""

    @abstractmethod
    def render(self, examples: Sequence[Example]) -> str:
        """File content with these examples."""

    def contents(self, path: Path) -> Contents:
        """A file, read and checked as a whole.

        Raises:
            InputError: the file is missing, unreadable, empty or not of this format.
        """
        with open_regular(path, "data file", "a split of a task") as file:
            start = file.read(8)
        for mark, what in _OTHERS.items():
            if start.startswith(mark):
                raise InputError(f"{path}: found {what}, expected {self.expected}")
        found = self.parse(path)
        if not found.examples:
            raise InputError(f"{path}: found no examples, expected at least one")
        return Contents(found.examples, found.plain and not start.startswith(codecs.BOM_UTF8))

    def read(self, path: Path) -> list[Example]:
        """The examples of `contents`."""
        return self.contents(path).examples

    def write(self, examples: Sequence[Example], target: Path, limit: int | None = None) -> None:
        """Write the examples to `target`, or as many of them as `limit` says."""
        chosen = examples if limit is None else self.chosen(examples, min(limit, len(examples)))
        with atomic_path(target) as path:
            path.write_text(self.render(chosen), encoding="utf-8", newline="\n")

    def cut(self, source: Path, target: Path, limit: int) -> None:
        """Write `limit` examples of `source` to `target`."""
        self.write(self.read(source), target, limit)

    def chosen(self, examples: Sequence[Example], count: int) -> list[Example]:
        """Which of them a limit leaves: some evenly spread."""
        return [examples[index * len(examples) // count] for index in range(count)]


def encodable(text: str) -> bool:
    """Whether a text has a UTF-8 form, which halves of surrogate pairs, as JSON can have them, have not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
