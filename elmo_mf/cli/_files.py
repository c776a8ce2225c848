"""File arguments of commands, given as paths or URLs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from elmo_mf.addresses import local_path
from elmo_mf.io.paths import expanded

_WRITTEN_OR_FOLDERS = (
    "out", "output", "json_file", "plot", "folder", "first", "second", "data", "softmax", "checkpoint",
    "start_softmax",
)  # fmt: skip
"""Parameters of commands that name outputs, folders or several files, not one file to read."""

T = TypeVar("T")
_running: ContextVar[ExitStack] = ContextVar("running")


def until_the_end(context: AbstractContextManager[T]) -> T:
    """Enter a context, such as that of a temporary folder, which is left when the running command ends."""
    return _running.get().enter_context(context)


def on_this_machine(command: Callable[..., None]) -> Callable[..., None]:
    """Let the paths of a command begin with `~` or `file://`, and its input files be URLs.

    Raises:
        InputError: On a call: a URL cannot be read.
    """

    @functools.wraps(command)
    def run(**given: Any) -> None:
        with ExitStack() as stack:
            before = _running.set(stack)
            try:
                command(**{name: _local(value, name) for name, value in given.items()})
            finally:
                _running.reset(before)

    return run


def _local(value: Any, name: str) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_local(one, name) for one in value)
    if not isinstance(value, Path):
        return value
    return Path(expanded(value) if name in _WRITTEN_OR_FOLDERS else local_path(value))
