"""Tables in a page: each is what follows a line `<!-- table: NAME -->`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1]

Rows = list[list[str]]  # the head first
Tables = Mapping[str, Callable[[], Rows]]

_TABLE = re.compile(r"^(<!-- table: (\S+) -->\n\n)(?:\|.*\n)+", re.MULTILINE)


def filled(text: str, tables: Tables) -> str:
    """A page's text with each of its tables made anew."""
    return _TABLE.sub(lambda found: found[1] + _markdown(tables[found[2]]()), text)


def names(text: str) -> list[str]:
    """Of a page's tables."""
    return [found[2] for found in _TABLE.finditer(text)]


def _markdown(rows: Rows) -> str:
    head, *body = ["".join(["|", *(f" {text} |" if text else " |" for text in row), "\n"]) for row in rows]
    _, *columns = zip(*rows[1:], strict=True)
    sides = "".join("|--:" if re.search(r"\d", "".join(column)) else "|:--" for column in columns)
    return "".join([head, f"|:--{sides}|\n", *body])


def read_json(name: str) -> Any:
    """A record below `docs`."""
    return json.loads((DOCS / name).read_text(encoding="utf-8"))
