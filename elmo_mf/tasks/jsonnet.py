"""Jsonnet files: sweep files, and the tasks' AllenNLP configs with their parameters filled in."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from functools import partial
from itertools import islice
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

from elmo_mf.errors import InputError
from elmo_mf.io import parse_json, read_text
from elmo_mf.resources import share
from elmo_mf.tasks import sandbox

_SECONDS = 120.0  # that pass, for 20 of processor time
_PIECE = 1 << 16  # bytes
_MOST_PIECES = 6 * sandbox.MOST_TEXT // _PIECE  # a character may be escaped


def evaluate_jsonnet(path: Path, arguments: dict[str, str] | None = None) -> Any:
    """Value of a jsonnet file; `arguments` are jsonnet code for the parameters of a top-level function.

    It may import from its own folder and from this project's configs, and is ended when it takes more than 20 seconds
    or 2 GB.

    Raises:
        InputError: the file is missing or does not evaluate.
    """
    text = read_text(path, "jsonnet file", "a sweep or a config", most=sandbox.MOST_TEXT)
    roots = [path.resolve().parent, share() / "jsonnet", share() / "weights"]
    answer = _answer([_utf8(path), text, arguments or {}, [_utf8(root) for root in roots]])
    if "value" not in answer:
        message = " ".join(answer.get("error", "it takes too much time or memory").split())[:300]
        raise InputError(f"{path}: found jsonnet that does not evaluate ({message}), expected a config")
    return parse_json(answer["value"], path, "a config")


def _answer(request: list[Any]) -> dict[str, str]:
    """What the sandbox says to a request; empty if it did not live to say it, or said too much."""
    command = [sys.executable, "-I", "-X", "utf8", sandbox.__file__]
    # what jsonnet traces goes nowhere: there may be gigabytes of it
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL) as process:
        assert process.stdin is not None and process.stdout is not None
        alarm = threading.Timer(_SECONDS, process.kill)
        alarm.start()
        try:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(json.dumps(request).encode("ascii"))
            pieces = iter(partial(process.stdout.read, _PIECE), b"")
            said = b"".join(islice(pieces, _MOST_PIECES))
        finally:
            alarm.cancel()
            process.kill()
    try:
        answer = json.loads(said)
    except ValueError:  # it is cut
        answer = {}
    return answer if isinstance(answer, dict) else {}


def _utf8(path: Path) -> str:
    """A path as the sandbox knows it, whatever the locale is here."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def task_config(config: Path, preset: str, glove: str | None, values: dict[str, Any]) -> dict[str, Any]:
    """A task's AllenNLP config; `values` are parameters of the jsonnet function."""
    library = json.dumps(str(share() / "jsonnet" / "lib" / f"{preset}.libsonnet"))
    call = f"({json.dumps(glove)})" if preset == "paper" else ""
    arguments = {name: json.dumps(value) for name, value in values.items()} | {"preset": f"(import {library}){call}"}
    return dict(evaluate_jsonnet(config, arguments))


def override(config: dict[str, Any], changes: dict[str, Any], where: str) -> dict[str, Any]:
    """The config with values replaced by dotted path, as `allennlp train -o` does; the path must exist but for its end.

    Raises:
        InputError: a path leads nowhere.
    """
    config = json.loads(json.dumps(config))
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        node: Any = config
        for key in parents:
            node = node.get(key) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise InputError(f"{where}: overrides: found {dotted!r}, expected a path in the task's config")
        node[last] = value
    return config
