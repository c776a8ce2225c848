"""Texts with labels: a table in JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from elmo_mf.errors import InputError, not_installed, one_line, shown
from elmo_mf.io import TextLines, open_regular, unique_pairs
from elmo_mf.tasks.formats._data_format import Contents, DataFormat, Example, encodable

_PARQUET = b"PAR1"


class LabelledText(NamedTuple):
    """A text and its label."""

    text: str
    label: str


@dataclass(frozen=True)
class LabelledTexts(DataFormat):
    """A table with a column of texts and one of labels, for the classification of texts.

    Its content shows whether it is JSON lines, CSV, tab-separated or Parquet. Other columns are ignored. AllenNLP's
    `text_classification_json` reads JSON lines, so that all others are rewritten as these.

    Attributes:
        text: Name of the column of texts. Defaults to `text`.
        label: Name of the column of labels, which are texts, integers or truth values. Defaults to `label`.
    """

    NAME = "labelled-texts"
    VERSION = 1

    text: str = "text"
    label: str = "label"

    @property
    def expected(self) -> str:  # type: ignore[override]
        """The format in words, for error messages."""
        return f"JSON lines, CSV with a header, or Parquet, with the columns {self.text} and {self.label}"

    def is_binary(self, start: bytes) -> bool:
        """See `DataFormat.is_binary`."""
        return start.startswith(_PARQUET)

    def parse(self, path: Path) -> Contents:
        """Read the rows, see `DataFormat.parse`."""
        with open_regular(path, "data file", "a split of a task") as file:
            binary = self.is_binary(file.read(len(_PARQUET)))
        lines = TextLines(path, self.expected)
        rows = self._parquet(path) if binary else self._of_text(path, lines)
        examples = [self._example(row, where) for where, row in rows]
        return Contents(examples, plain=lines.lines == len(examples))  # JSON lines without blank ones

    def render(self, examples: Sequence[Example]) -> str:
        """See `DataFormat.render`."""
        lines = (json.dumps({self.text: example.raw.text, self.label: example.raw.label}) for example in examples)
        return "".join(f"{line}\n" for line in lines)

    def _example(self, row: Mapping[str, Any], where: str) -> Example:
        for name in (self.text, self.label):
            if name not in row:
                columns = ", ".join(shown(key, 30) for key in itertools.islice(row, 10))
                raise InputError(where, f"found the columns {columns}, expected {self.text} and {self.label}")
        text, label = row[self.text], row[self.label]
        if not isinstance(text, str) or not text.split() or not encodable(text):
            raise InputError(where, self.text, f"found {shown(text, 40)}, expected a text with words")
        if not isinstance(label, (str, int)) or not str(label).strip() or not encodable(str(label)):
            raise InputError(
                where, self.label, f"found {shown(label, 40)}, expected a text, an integer or a truth value"
            )
        return Example(str(label), LabelledText(text, str(label)))

    def _of_text(self, path: Path, lines: TextLines) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield each row of JSON lines or CSV, with its place for errors."""
        numbered = ((lines.lines, line) for line in lines)
        first = next((one for one in numbered if one[1].strip()), None)
        if first is None:
            return
        every = itertools.chain([first], numbered)
        yield from self._json_lines(path, every) if first[1].lstrip()[0] in "{[" else self._csv(path, every)

    def _json_lines(self, path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for number, line in lines:
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=unique_pairs)
            except (ValueError, RecursionError) as error:
                found = f"found {line[:40]!r}, expected a JSON object ({one_line(error)})"
                raise InputError(path, f"line {number}", found) from None
            if not isinstance(row, dict):
                raise InputError(path, f"line {number}", f"found {line[:40]!r}, expected a JSON object")
            yield f"{path}: line {number}", row

    def _csv(self, path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        number, header = next(lines)
        reader = csv.reader(
            itertools.chain([header], (f"{line}\n" for _, line in lines)), strict=True,
            delimiter="\t" if "\t" in header else ",",
        )  # fmt: skip
        try:
            columns = next(reader)
            if len(set(columns)) < len(columns):
                raise InputError(path, f"line {number}", "found a column twice, expected each once")
            for row in reader:
                where = f"{path}: line {number - 1 + reader.line_num}"
                if not row:
                    continue
                if len(row) != len(columns):
                    raise InputError(where, f"found {len(row)} fields, expected {len(columns)}, as in the header")
                yield where, dict(zip(columns, row, strict=True))
        except csv.Error as error:
            where = f"{path}: line {number - 1 + reader.line_num}"
            raise InputError(where, f"found no row of CSV ({error}), expected {self.expected}") from None

    def _parquet(self, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
        try:
            from pyarrow import ArrowException, parquet
        except ImportError:
            raise InputError(path, not_installed("pyarrow")) from None
        try:
            with parquet.ParquetFile(path) as file:
                wanted = [name for name in (self.text, self.label) if name in file.schema_arrow.names]
                names = wanted if len(wanted) == 2 else file.schema_arrow.names
                rows = itertools.chain.from_iterable(batch.to_pylist() for batch in file.iter_batches(columns=names))
                yield from ((f"{path}: row {number}", row) for number, row in enumerate(rows, start=1))
        except (ArrowException, OSError) as error:
            raise InputError(
                path, f"found no Parquet that can be read ({one_line(error)}), expected {self.expected}"
            ) from None
