"""Tables in a page, each of which follows a line `<!-- table: NAME -->`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1]

Rows = list[list[str]]  # the first row is the head
Tables = Mapping[str, Callable[[], Rows]]

_TABLE = re.compile(r"^(<!-- table: (\S+) -->\n\n)(?:\|.*\n)+", re.MULTILINE)


def filled(text: str, tables: Tables) -> str:
    """Replace every table in the text of a page by its current content."""
    return _TABLE.sub(lambda match: match[1] + _markdown(tables[match[2]]()), text)


def names(text: str) -> list[str]:
    """Return the names of a page's tables."""
    return [match[2] for match in _TABLE.finditer(text)]


def _markdown(rows: Rows) -> str:
    head, *body = ["".join(["|", *(f" {text} |" if text else " |" for text in row), "\n"]) for row in rows]
    _, *columns = zip(*rows[1:], strict=True)
    sides = "".join("|--:" if re.search(r"\d", "".join(column)) else "|:--" for column in columns)
    return "".join([head, f"|:--{sides}|\n", *body])


def read_json(name: str) -> Any:
    """Read a JSON record below `docs`."""
    return json.loads((DOCS / name).read_text(encoding="utf-8"))
