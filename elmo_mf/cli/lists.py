"""Options that take comma-separated lists."""

from __future__ import annotations

from elmo_mf.errors import InputError


def texts(name: str, text: str) -> list[str]:
    """Names of a list.

    Raises:
        InputError: one of them is empty; `name` is the option's.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise InputError(f"{name}: found {text!r}, expected names separated by commas")
    return parts


def integers(name: str, text: str, least: int = 0) -> list[int]:
    """Whole numbers of a list, none below `least`.

    Raises:
        InputError: something else is among them.
    """
    parts = texts(name, text)
    if not all(part.isdecimal() and int(part) >= least for part in parts):
        above = f" from {least} on" if least else ""
        raise InputError(f"{name}: found {text!r}, expected whole numbers{above} separated by commas")
    return [int(part) for part in parts]
