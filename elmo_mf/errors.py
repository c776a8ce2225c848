"""The one exception that bad input raises, so that the command line can turn it into a one-line error."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

_MOST = 1000  # characters
_NEIGHBOURS = 1000  # files of a folder that are looked at


def any_of(found: object, known: Iterable[str]) -> str:
    """The part of a message that lists what may be there, one or more of them, and the one that was perhaps meant."""
    return _listed("any", found, list(known))


def one_of(found: object, known: Iterable[str]) -> str:
    """As `any_of`, where there may be one."""
    return _listed("one", found, list(known))


def _listed(number: str, found: object, known: list[str]) -> str:
    return f"expected {number} of {', '.join(known)}{_meant(str(found).lower(), known)}"


def _meant(found: str, known: list[str]) -> str:
    close = get_close_matches(found, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def one_line(error: object, most: int = 160) -> str:
    """Another library's error as part of a message: its kind and text, without line breaks, at most so long."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:most]


def shown(value: object) -> str:
    """What was found, as part of a message, where its `repr` may fail: of integers with thousands of digits it does."""
    try:
        return repr(value)
    except (ValueError, RecursionError):
        return f"something of type {type(value).__name__} that is too long to show"


def visible(text: str) -> str:
    """Anybody's text in one line: what cannot be printed, or turns the order of what can, is escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable(text: str, most: int = _MOST) -> str:
    """As `visible`, and the middle is left out if it is too long."""
    line = visible(text)
    return line if len(line) <= most else f"{line[: most // 2]} ... {line[-most // 2 :]}"


class InputError(ValueError):
    """Something the user gave is wrong; the message is one line that names what, where, found and expected.

    What was found may be anything, see `printable`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def check_finite(what: str, value: float, advice: str) -> None:
    """Stop a training whose numbers have become useless.

    Raises:
        InputError: `value` is NaN or infinite.
    """
    if not math.isfinite(value):
        raise InputError(f"{what}: found {value}, expected a finite number; {advice}")


def missing(path: Path, kind: str, expected: str) -> InputError:
    """For a file that is not there, with the neighbour that was perhaps meant."""
    try:
        neighbours = sorted(file.name for file in islice(path.parent.iterdir(), _NEIGHBOURS))
    except (OSError, ValueError):  # ValueError: a name that no file system has
        neighbours = []
    return InputError(f"{path}: no such {kind}, expected {expected}{_meant(path.name, neighbours)}")
