"""Errors that name options of the command line instead of the keys that the options set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from elmo_mf.errors import InputError

_SAME = (
    "rank", "budget", "allocation", "method", "targets", "highway_rank", "granularity", "layers", "directions",
    "inputs", "calibration", "gradients", "distill", "cells",
)  # fmt: skip
COMPRESSION = {
    **{f"compression.{key}": f"--{key.replace('_', '-')}" for key in _SAME},
    "compression.distill.steps": "--distill-steps",
    "compression.settings": "--setting",
}
"""Options by the keys of a compression."""


@runtime_checkable
class NamesOptions(Protocol):
    """A group of options that set keys which errors name."""

    def option_names(self) -> Mapping[str, str]:
        """Return the options by the keys that they set, such as `--rank` by `compression.rank`."""
        ...


@contextmanager
def options_named(names: Mapping[str, str]) -> Iterator[None]:
    """Let errors in the body name options.

    Args:
        names: Options by the keys that errors begin with; a key stands for the keys in its value too.
    """
    try:
        yield
    except InputError as error:
        key, _, inner = error.place.partition(": ")
        known = [name for name in names if f"{key}.".startswith(f"{name}.")]
        if known:
            problem = error.args[-1].replace("; set allow_larger to accept it", _advice(names))
            error.args = (names[max(known, key=len)], *([inner] if inner else []), problem)
        raise


def _advice(names: Mapping[str, str]) -> str:
    option = names.get("compression.allow_larger")
    return f"; use {option} to accept it" if option else ""
