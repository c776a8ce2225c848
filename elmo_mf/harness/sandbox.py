"""Evaluates one jsonnet file, in a process of its own: run as a script by `configs.evaluate_jsonnet`.

Jsonnet is a programming language, and a sweep file may come from a stranger: its imports stay in the given folders, and
it ends when it takes more time or memory than any config needs.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

SECONDS = 20
BYTES = 2_000_000_000
_MOST_TEXT = 20_000_000


def evaluate(path: str, arguments: dict[str, str], roots: list[str]) -> str:
    """JSON text; RuntimeError says what is wrong with the file."""
    import _jsonnet

    folders = [Path(root).resolve() for root in roots]

    def load(folder: str, name: str) -> tuple[str, bytes]:
        found = (Path(folder) / name).resolve()
        if not any(found.is_relative_to(root) for root in folders):
            raise RuntimeError(f"import of {name} leads out of {', '.join(map(str, folders))}")
        if not found.is_file():
            raise RuntimeError(f"no such file: {name}")
        return str(found), found.read_bytes()

    text: str = _jsonnet.evaluate_file(path, tla_codes=arguments, import_callback=load)
    if len(text) > _MOST_TEXT:
        raise RuntimeError(f"{len(text)} characters come out, at most {_MOST_TEXT} may")
    return text


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        print(evaluate(*json.load(sys.stdin)))
    except RuntimeError as error:
        sys.exit(f"{error}")
    except MemoryError:
        sys.exit("it takes too much memory")
