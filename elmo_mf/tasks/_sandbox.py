"""Evaluation of one jsonnet file in its own process; `evaluate_jsonnet` runs this module as a script.

Jsonnet is a programming language, and sweep files may be untrusted. Imports are therefore confined to the given
folders, and time and memory are limited. Request and answer are ASCII JSON, which does not depend on the locale.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from hashlib import sha256
from pathlib import Path

SECONDS = 20  # of processor time
BYTES = 2_000_000_000
MAX_TEXT = 20_000_000


def seen(path: Path, content: bytes) -> list[str]:
    """Return what an evaluation depends on in a file that it imports: where its name leads, and its content."""
    return [os.fsencode(path.resolve()).hex(), sha256(content).hexdigest()]


def evaluate(path: str, text: str, arguments: dict[str, str], roots: list[str]) -> tuple[str, dict[str, list[str]]]:
    """Evaluate jsonnet code.

    Args:
        path: Path of the file, for messages and relative imports.
        text: Content of the file.
        arguments: Jsonnet code for the parameters of the file's top-level function.
        roots: Folders that the file can import from.

    Returns:
        The value, as JSON, and `seen` of each file that was imported, by its name.

    Raises:
        RuntimeError: The file cannot be evaluated.
    """
    import _jsonnet

    folders = [Path(root).resolve() for root in roots]
    imports: dict[str, list[str]] = {}

    def load(folder: str, name: str) -> tuple[str, bytes]:
        try:
            named = Path(folder) / name
            path = named.resolve()
            if not any(path.is_relative_to(root) for root in folders):
                raise RuntimeError(f"import of {name:.100} leads out of {', '.join(map(str, folders))}")
            if not path.is_file():
                raise RuntimeError(f"no such file: {name:.100}")
            if path.stat().st_size > MAX_TEXT:
                raise RuntimeError(f"import of {name:.100}: it has more than {MAX_TEXT:,} bytes")
            content = path.read_bytes()
            imports[str(named)] = seen(named, content)
            return str(path), content
        except (OSError, ValueError) as error:  # ValueError: a null character in the name
            raise RuntimeError(f"import of {name:.100}: {getattr(error, 'strerror', None) or error}") from None

    evaluated: str = _jsonnet.evaluate_snippet(path, text, tla_codes=arguments, import_callback=load)
    if len(evaluated) > MAX_TEXT:
        raise RuntimeError(f"the result has {len(evaluated):,} characters, more than {MAX_TEXT:,}")
    return evaluated, imports


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    _limit(resource.RLIMIT_CPU, SECONDS)
    _limit(resource.RLIMIT_AS, BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    try:
        value, imports = evaluate(*json.load(sys.stdin.buffer))
        answer: dict[str, object] = {"value": value, "imports": imports}
    except (RuntimeError, ValueError) as error:  # ValueError: an import that is not UTF-8
        answer = {"error": f"{error}"}
    except ModuleNotFoundError:
        answer = {"missing": "_jsonnet"}
    except MemoryError:
        answer = {"error": "it takes too much memory"}
    sys.stdout.buffer.write(json.dumps(answer).encode("ascii"))
    sys.stdout.flush()
    os._exit(0)  # faster than freeing all memory
