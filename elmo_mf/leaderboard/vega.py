"""Vega in a process of its own, so that the 200 MB of its JavaScript engine are freed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

_BUNDLE = "import sys, vl_convert; sys.stdout.buffer.write(vl_convert.javascript_bundle(sys.argv[1]).encode())"
_DRAW = (
    "import json, sys, vl_convert; "
    "json.dump([vl_convert.vegalite_to_svg(one, allowed_base_urls=[]) for one in json.load(sys.stdin)], sys.stdout)"
)


def bundle() -> str:
    """Return Vega and Vega-Lite as a JavaScript module that sets `window.vegaEmbed`."""
    return _run(_BUNDLE, "window.vegaEmbed = vegaEmbed;")


def draw(specifications: Sequence[dict[str, Any]]) -> list[str]:
    """Return each Vega-Lite specification as SVG; it may contain its data, but not refer to others."""
    images: list[str] = json.loads(_run(_DRAW, standard_input=json.dumps(specifications)))
    return images


def _run(program: str, *arguments: str, standard_input: str = "") -> str:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, input=standard_input.encode(), stdout=subprocess.PIPE, check=True).stdout.decode()
