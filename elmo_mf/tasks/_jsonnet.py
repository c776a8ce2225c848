"""Evaluation of jsonnet files: sweep files and the tasks' AllenNLP configs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

from elmo_mf.errors import InputError, not_installed, without_breaks
from elmo_mf.io import parse_json, read_text
from elmo_mf.resources import share
from elmo_mf.tasks import _sandbox as sandbox

_CHUNK_BYTES = 1 << 16
_MOST_KEPT = 100
_MOST_KEPT_TEXT = 1_000_000
_kept: dict[tuple[Sandbox, bytes], dict[str, Any]] = {}
"""Answers with values, each valid as long as the files that it imported are as it saw them."""


@dataclass(frozen=True)
class Sandbox:
    """Process that evaluates a file.

    Attributes:
        script: Python script that the process runs.
        seconds: Limit of its real time; its processor time is limited to 20 seconds.
        answer_bytes: Maximum size of its answer, whose characters may be escaped.
    """

    script: Path = Path(sandbox.__file__)
    seconds: float = 120.0
    answer_bytes: int = 6 * sandbox.MAX_TEXT


_SANDBOX = Sandbox()


def evaluate_jsonnet(path: Path, arguments: dict[str, str] | None = None, process: Sandbox = _SANDBOX) -> Any:
    """Evaluate a jsonnet file in a sandbox, or return what it was when the same files were evaluated before.

    The file can import from its own folder and from this project's configs. Evaluation ends after 20 seconds of
    processor time or at 2 GB of memory.

    Args:
        path: The file.
        arguments: Jsonnet code for the parameters of its top-level function.
        process: The process that evaluates it.

    Returns:
        The value of the file.

    Raises:
        InputError: The file is missing or cannot be evaluated, or the package `jsonnet` is not installed.
    """
    text = read_text(path, "jsonnet file", "a sweep or a config", most=sandbox.MAX_TEXT)
    roots = [path.resolve().parent, share() / "jsonnet", share() / "weights"]
    answer = _answer_once([_utf8(path), text, arguments or {}, [_utf8(root) for root in roots]], process)
    if "missing" in answer:
        raise not_installed(answer["missing"])
    if "value" not in answer:
        message = without_breaks(answer.get("error", "it takes too much time or memory"), 300)
        raise InputError(path, f"found jsonnet that does not evaluate ({message}), expected a config")
    return parse_json(answer["value"], path, "a config")


def _answer_once(request: list[Any], limits: Sandbox) -> dict[str, Any]:
    """Return the latest answer to the same request if no file that it imported has changed."""
    key = limits, sha256(json.dumps(request).encode("ascii")).digest()
    kept = _kept.get(key)
    if kept is not None and all(_is_as_seen(name, seen) for name, seen in kept["imports"].items()):
        return kept
    answer = _answer(request, limits)
    if "imports" in answer and len(answer["value"]) < _MOST_KEPT_TEXT:
        if len(_kept) == _MOST_KEPT:
            _kept.clear()
        _kept[key] = answer
    return answer


def _is_as_seen(name: str, seen: list[str]) -> bool:
    """Return whether an import's name leads to the same file, with the same content."""
    try:
        path = Path(os.fsdecode(name.encode("utf-8", "surrogateescape")))  # see `_utf8`
        small = path.is_file() and path.stat().st_size <= sandbox.MAX_TEXT
        return small and sandbox.seen(path, path.read_bytes()) == seen
    except (OSError, ValueError):
        return False


def _answer(request: list[Any], limits: Sandbox) -> dict[str, Any]:
    """Return the sandbox's answer to a request; empty if the process died or the answer is too long."""
    command = [sys.executable, "-I", "-X", "utf8", str(limits.script)]
    # stderr is discarded: jsonnet's traces may be gigabytes long
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL) as process:
        assert process.stdin is not None and process.stdout is not None
        alarm = threading.Timer(limits.seconds, process.kill)
        alarm.start()
        try:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(json.dumps(request).encode("ascii"))
            chunks = iter(partial(process.stdout.read, _CHUNK_BYTES), b"")
            output = b"".join(islice(chunks, -(-limits.answer_bytes // _CHUNK_BYTES)))
        finally:
            alarm.cancel()
            process.kill()
    try:
        answer = json.loads(output)
    except ValueError:  # cut off
        answer = {}
    return answer if isinstance(answer, dict) else {}


def _utf8(path: Path) -> str:
    """Return a path as the sandbox, whose locale is UTF-8, decodes it."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def task_config(config: Path, preset: str, glove: str | None, values: dict[str, Any]) -> dict[str, Any]:
    """Return a task's AllenNLP config.

    Args:
        config: The jsonnet file, a function.
        preset: Sizes of the model: `demo`, `board` or `paper`.
        glove: File of word vectors; None where the config reads none.
        values: Its other arguments by name.
    """
    library = json.dumps(str(share() / "jsonnet" / "lib" / f"{preset}.libsonnet"))
    call = "" if preset == "demo" else f"({json.dumps(glove)})"
    arguments = {name: json.dumps(value) for name, value in values.items()} | {"preset": f"(import {library}){call}"}
    return dict(evaluate_jsonnet(config, arguments))


def override(config: dict[str, Any], changes: dict[str, Any], where: str) -> dict[str, Any]:
    """Replace values in a config by dotted path, as `allennlp train -o` does.

    Args:
        config: The config, which is not changed.
        changes: New values by dotted path; only the last key of a path may be new.
        where: Name of the config, for error messages.

    Returns:
        The changed config.

    Raises:
        InputError: A path does not exist in the config.
    """
    config = json.loads(json.dumps(config))
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        node: Any = config
        for key in parents:
            node = node.get(key) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise InputError(where, "overrides", f"found {dotted!r}, expected a path in the task's config")
        node[last] = value
    return config
