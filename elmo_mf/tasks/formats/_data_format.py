"""Base class of the data formats, whose files are read as a whole, checked and rewritten."""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from elmo_mf.errors import InputError
from elmo_mf.io import atomic_path, open_regular

_MAGIC = {
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"\x1f\x8b": "a file compressed by gzip",
    b"BZh": "a file compressed by bzip2",
    b"\xfd7zXZ": "a file compressed by xz",
    b"PK\x03\x04": "a zip archive",
    b"\x89HDF": "an HDF5 file",
}
"""First bytes of files that are not text."""


@dataclass(frozen=True)
class Example:
    """Unit of data that limits count.

    Attributes:
        label: Label or answer of the example.
        raw: Data from which the example is written.
    """

    label: str
    raw: Any


@dataclass(frozen=True)
class Contents:
    """Contents of a data file.

    Attributes:
        examples: Its examples.
        plain: Whether AllenNLP's reader accepts the file unchanged.
    """

    examples: list[Example]
    plain: bool


class DataFormat(ABC):
    """Reads a data file into examples, and writes examples in the same format.

    AllenNLP's reader reads the same examples, from the file itself if it is plain, else from a rewritten one.
    """

    NAME: ClassVar[str]
    """Registered name, in task configs and records."""
    VERSION: ClassVar[int]
    """Version of the parser, part of a run's identity; raised when it returns other examples."""
    expected: ClassVar[str]
    """The format in words, for error messages."""

    @abstractmethod
    def parse(self, path: Path) -> Contents:
        """Read all examples.

        Raises:
            InputError: The file does not have this format.
        """

    @abstractmethod
    def render(self, examples: Sequence[Example]) -> str:
        """Return the content of a file with the given examples."""

    def document(self, example: Example) -> str | None:
        """Return the name of the document that an example is from; None where examples have none."""
        return None

    def is_binary(self, start: bytes) -> bool:
        """Return whether a file with these first bytes is no text and has this format all the same."""
        return False

    def contents(self, path: Path) -> Contents:
        """Read and check a whole file.

        Raises:
            InputError: The file is missing, unreadable, empty or in another format.
        """
        with open_regular(path, "data file", "a split of a task") as file:
            start = file.read(8)
        for magic, kind in _MAGIC.items():
            if start.startswith(magic) and not self.is_binary(start):
                raise InputError(path, f"found {kind}, expected {self.expected}")
        contents = self.parse(path)
        if not contents.examples:
            raise InputError(path, "found no examples, expected at least one")
        return Contents(contents.examples, contents.plain and not start.startswith(codecs.BOM_UTF8))

    def read(self, path: Path) -> list[Example]:
        """Return the examples of `contents`."""
        return self.contents(path).examples

    def write(self, examples: Sequence[Example], target: Path, limit: int | None = None) -> None:
        """Write the examples to `target`, at most `limit` of them."""
        chosen = examples if limit is None else self.chosen(examples, min(limit, len(examples)))
        with atomic_path(target) as path:
            path.write_text(self.render(chosen), encoding="utf-8", newline="\n")

    def cut(self, source: Path, target: Path, limit: int) -> None:
        """Write `limit` examples of `source` to `target`."""
        self.write(self.read(source), target, limit)

    def chosen(self, examples: Sequence[Example], count: int) -> list[Example]:
        """Return the examples that a limit keeps: `count` of them, evenly spaced."""
        return [examples[index * len(examples) // count] for index in range(count)]


def encodable(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8; texts from JSON may contain lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
