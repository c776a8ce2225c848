"""Options with comma-separated lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from elmo_mf.errors import InputError, any_of

Choice = TypeVar("Choice", bound=str)


def texts(option: str, text: str) -> list[str]:
    """Split a comma-separated list.

    Args:
        option: The option, for the message.
        text: The list.

    Raises:
        InputError: An entry is empty.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise InputError(option, f"found {text!r}, expected names separated by commas")
    return parts


def choices(option: str, text: str, known: Sequence[Choice]) -> list[Choice]:
    """Return the known names that a list contains, in the order of `known`.

    Args:
        option: Name of the option, for errors.
        text: Its value, comma-separated names.
        known: The names.

    Raises:
        InputError: An entry is empty or unknown.
    """
    parts = texts(option, text)
    for part in parts:
        if part not in known:
            raise InputError(option, f"found {part!r}, {any_of(part, known)}")
    return [name for name in known if name in parts]


def integers(option: str, text: str, least: int = 0) -> list[int]:
    """Split a comma-separated list of integers.

    Args:
        option: Name of the option, for errors.
        text: Its value.
        least: Smallest integer that is accepted. Defaults to 0.

    Raises:
        InputError: An entry is not an integer of at least `least`.
    """
    parts = texts(option, text)
    if not all(part.isdecimal() and int(part) >= least for part in parts):
        bound = f" of at least {least}" if least else ""
        raise InputError(option, f"found {text!r}, expected integers{bound} separated by commas")
    return [int(part) for part in parts]
