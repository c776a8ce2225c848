"""Jsonnet files: sweep files, and the tasks' AllenNLP configs with their parameters filled in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError, missing
from elmo_mf.harness import sandbox
from elmo_mf.resources import share

PRESETS = ("demo", "paper")


def evaluate_jsonnet(path: Path, arguments: dict[str, str] | None = None) -> Any:
    """Value of a jsonnet file; `arguments` are jsonnet code for the parameters of a top-level function.

    It may import from its own folder and from this project's configs, and is ended when it takes more than 20 seconds
    or 2 GB.

    # Raises
    InputError: the file is missing or does not evaluate.
    """
    if not path.is_file():
        raise missing(path, "jsonnet file", "a sweep or a config")
    roots = [path.resolve().parent, share() / "jsonnet", share() / "weights"]
    request = json.dumps([str(path), arguments or {}, [str(root) for root in roots]])
    command = [sys.executable, "-I", sandbox.__file__]
    done = subprocess.run(command, input=request, capture_output=True, text=True, check=False)
    if done.returncode:
        message = " ".join(done.stderr.split())[:300] or "it takes too much time or memory"
        raise InputError(f"{path}: found jsonnet that does not evaluate ({message}), expected a config")
    return json.loads(done.stdout)


def task_config(config: Path, preset: str, glove: str | None, values: dict[str, Any]) -> dict[str, Any]:
    """A task's AllenNLP config; `values` are parameters of the jsonnet function."""
    library = json.dumps(str(share() / "jsonnet" / "lib" / f"{preset}.libsonnet"))
    call = f"({json.dumps(glove)})" if preset == "paper" else ""
    arguments = {name: json.dumps(value) for name, value in values.items()} | {"preset": f"(import {library}){call}"}
    return dict(evaluate_jsonnet(config, arguments))


def override(config: dict[str, Any], changes: dict[str, Any], where: str) -> dict[str, Any]:
    """The config with values replaced by dotted path, as `allennlp train -o` does; the path must exist but for its end.

    # Raises
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
