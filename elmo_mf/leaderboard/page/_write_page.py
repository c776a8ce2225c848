"""Write `index.html`: the page with its data, style and libraries in one file."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from elmo_mf.io import write_text
from elmo_mf.leaderboard._vega import bundle
from elmo_mf.leaderboard.aggregate import Board
from elmo_mf.leaderboard.page._page_data import MOST_INSIDE, page_data
from elmo_mf.progress import stage

MOST_PLAIN = 3_300_000
"""Size in bytes above which the page contains its data compressed."""


def write_page(
    folder: Path, boards: Sequence[Board], most_inside: int = MOST_INSIDE, most_plain: int = MOST_PLAIN
) -> Path:
    """Write `folder/index.html`, atomically; the same records give the same bytes.

    Args:
        folder: Folder of the page.
        boards: The boards.
        most_inside: Largest size in bytes of records in the page; if they are larger, it links to their files.
        most_plain: Size in bytes above which the page contains its data compressed.
    """
    path = folder / "index.html"
    with stage("page", 100, "%") as advance:
        data = page_data(boards, most_inside)
        advance(50)
        write_text(path, page(data, most_plain=most_plain))
    return path


def packed(data: dict[str, Any], most_plain: int = MOST_PLAIN) -> dict[str, Any]:
    """Compress data if it is large; `page.js` unpacks it."""
    text = as_json(data)
    if len(text) <= most_plain:
        return data
    return {"packed": base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()}


def page(data: dict[str, Any], version: str | None = None, most_plain: int = MOST_PLAIN) -> str:
    """Return the page as HTML.

    Args:
        data: Data of the page, see `page_data`.
        version: Version of the data, with which the page polls its server for newer data; None for a static page.
        most_plain: Size in bytes above which the page contains its data compressed.
    """
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    template = environment.from_string(_page_file("page.html"))
    parts = {
        "style": _page_file("page.css"),
        "script": _script(_page_file("page.js")),
        "json": as_json(packed(data, most_plain)),
    }
    return template.render(data=data, version=version, **parts, **libraries())


def as_json(value: Any) -> str:
    """Return JSON that is safe inside an HTML script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


@cache
def libraries() -> dict[str, str]:
    """Return Vega for the plot, and DataTables from itables for the table."""
    tables = files("itables") / "html"
    return {
        "plot_script": _script(bundle()),
        "table_script": _script((tables / "dt_bundle.js").read_text(encoding="utf-8")),
        "table_style": (tables / "dt_bundle.css").read_text(encoding="utf-8"),
    }


def _page_file(name: str) -> str:
    return (files("elmo_mf.leaderboard.page") / name).read_text(encoding="utf-8")


def _script(text: str) -> str:
    """Escape JavaScript so that it cannot end its script element; strings and patterns keep their meaning."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
