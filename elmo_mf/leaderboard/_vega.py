"""Vega in a process of its own, so that the 200 MB of its JavaScript engine are freed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from elmo_mf.errors import InputError

# the engine reserves more addresses than a soft limit leaves, though it uses little memory
_UNLIMITED = (
    "import resource; hard = resource.getrlimit(resource.RLIMIT_AS)[1]; "
    "resource.setrlimit(resource.RLIMIT_AS, (hard, hard)); "
)
_BUNDLE = "import sys, vl_convert; sys.stdout.buffer.write(vl_convert.javascript_bundle(sys.argv[1]).encode())"
_DRAW = (
    "import json, sys, vl_convert; "
    "json.dump([vl_convert.vegalite_to_svg(one, allowed_base_urls=[]) for one in json.load(sys.stdin)], sys.stdout)"
)


def bundle() -> str:
    """Return Vega and Vega-Lite as a JavaScript module that sets `window.vegaEmbed`."""
    return _run(_BUNDLE, "window.vegaEmbed = vegaEmbed;")


def draw(specifications: Sequence[dict[str, Any]]) -> list[str]:
    """Return each Vega-Lite specification as SVG; it may contain its data, but not refer to others.

    Raises:
        InputError: vl-convert failed, for example because addresses are limited.
    """
    images: list[str] = json.loads(_run(_DRAW, standard_input=json.dumps(specifications)))
    return images


def _run(program: str, *arguments: str, standard_input: str = "") -> str:
    command = [sys.executable, "-c", _UNLIMITED + program, *arguments]
    done = subprocess.run(command, input=standard_input.encode(), capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["without a message"]
        found = f"vl-convert ended with status {done.returncode} ({reason[0][:200]})"
        raise InputError("figures", f"{found}, expected it to draw; it cannot where `ulimit -H -v` is not unlimited")
    return done.stdout.decode()
