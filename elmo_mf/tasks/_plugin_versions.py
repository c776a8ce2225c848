"""Versions of AllenNLP's readers and tokenizers of this project, without the seconds that importing AllenNLP takes."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path
from typing import Any

import elmo_mf


def plugin_version(name: str) -> int:
    """Return the `VERSION` of a module of `elmo_mf.plugin`, from its file unless it is imported already.

    Args:
        name: Its name in that package, such as `tokenizer`.
    """
    module: Any = sys.modules.get(f"elmo_mf.plugin.{name}")
    version: int = _in_file(name) if module is None else module.VERSION
    return version


@cache
def _in_file(name: str) -> int:
    path = Path(elmo_mf.__file__).parent / "plugin" / f"{name}.py"
    for statement in ast.parse(path.read_bytes()).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="VERSION")], value=ast.Constant(value=int(version))):
                return version
    raise LookupError(f"{path}: found no VERSION")
