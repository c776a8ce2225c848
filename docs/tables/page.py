"""Tables as Markdown, and the records that they are made of."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1]

Rows = list[list[str]]  # the first row is the head
Tables = Mapping[str, Callable[[], Rows]]


def markdown(rows: Rows) -> str:
    """Return a table, its columns aligned to the right where they have numbers."""
    head, *body = ["".join(["|", *(f" {text} |" if text else " |" for text in row), "\n"]) for row in rows]
    _, *columns = zip(*rows[1:], strict=True)
    sides = "".join("|--:" if re.search(r"\d", "".join(column)) else "|:--" for column in columns)
    return "".join([head, f"|:--{sides}|\n", *body])


def read_json(name: str) -> Any:
    """Read a JSON record below `docs`."""
    return json.loads((DOCS / name).read_text(encoding="utf-8"))
