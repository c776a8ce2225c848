"""Write `index.html`: the page with its data, style and libraries in one file."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from elmo_mf.io import write_text
from elmo_mf.leaderboard.aggregate import Board
from elmo_mf.leaderboard.page.data import page_data

MOST_PLAIN = 3_300_000
"""Size in bytes above which the page contains its data compressed."""


def write_page(folder: Path, boards: Sequence[Board]) -> Path:
    """Write `folder/index.html`, atomically; the same records give the same bytes."""
    path = folder / "index.html"
    write_text(path, page(page_data(boards)))
    return path


def packed(data: dict[str, Any]) -> dict[str, Any]:
    """Compress data if it is large; `page.js` unpacks it."""
    text = as_json(data)
    if len(text) <= MOST_PLAIN:
        return data
    return {"packed": base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()}


def page(data: dict[str, Any], version: str | None = None) -> str:
    """Return the page as HTML.

    Args:
        data: Data of the page, see `page_data`.
        version: Version of the data, with which the page polls its server for newer data; None for a static page.
    """
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    template = environment.from_string(_own("page.html"))
    parts = {"style": _own("page.css"), "script": _script(_own("page.js")), "json": as_json(packed(data))}
    return template.render(data=data, version=version, **parts, **_libraries())


def as_json(value: Any) -> str:
    """Return JSON that is safe inside an HTML script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


@cache
def _libraries() -> dict[str, str]:
    """Return Vega for the plot, and DataTables from itables for the table."""
    bundle = files("itables") / "html"
    return {
        "plot_script": _script(_vega()),
        "table_script": _script((bundle / "dt_bundle.js").read_text(encoding="utf-8")),
        "table_style": (bundle / "dt_bundle.css").read_text(encoding="utf-8"),
    }


def _vega() -> str:
    """Return Vega's bundle, built in a separate process so that the 100 MB of V8 are freed."""
    code = "import sys, vl_convert; sys.stdout.buffer.write(vl_convert.javascript_bundle(sys.argv[1]).encode())"
    command = [sys.executable, "-c", code, "window.vegaEmbed = vegaEmbed;"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()


def _own(name: str) -> str:
    return (files("elmo_mf.leaderboard.page") / name).read_text(encoding="utf-8")


def _script(text: str) -> str:
    """Escape JavaScript so that it cannot end its script element; strings and patterns keep their meaning."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
