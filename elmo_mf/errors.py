"""`InputError`, which all bad input raises, and helpers for messages of one line."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

INTERRUPTED = 130  # the exit status after Ctrl+C, as in a shell
_MOST = 1000  # characters
_NEIGHBOURS = 1000  # files of a folder that are compared with a missing name


def absent(expected: str) -> str:
    """Return the problem of a value that is missing.

    Args:
        expected: What was expected.
    """
    return f"missing, expected {expected}"


def instead_of(expected: str, found: str | None) -> str:
    """Return the problem of a value that is missing or wrong.

    Args:
        expected: What was expected.
        found: What was found; None if the value is missing.
    """
    return absent(expected) if found is None else f"found {found}, expected {expected}"


def any_of(value: object, known: Iterable[str]) -> str:
    """List the valid values, of which one or more are allowed, and suggest the one closest to `value`.

    Args:
        value: The invalid value.
        known: The valid values.
    """
    return _listed("any", value, list(known))


def one_of(value: object, known: Iterable[str]) -> str:
    """List the valid values, of which exactly one is allowed, and suggest the one closest to `value`.

    Args:
        value: The invalid value.
        known: The valid values.
    """
    return _listed("one", value, list(known))


def _listed(number: str, value: object, known: list[str]) -> str:
    return f"expected {number} of {', '.join(known)}{_meant(str(value).lower(), known)}"


def _meant(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def one_line(error: object, most: int = 160) -> str:
    """Describe another library's error by its type and text, without line breaks.

    Args:
        error: The error.
        most: Maximum number of characters. Defaults to 160.
    """
    return without_breaks(f"{type(error).__name__}: {error}", most)


def shown(value: object, most: int = 60) -> str:
    """Return the beginning of a value's `repr`, even where `repr` fails, as for integers with thousands of digits.

    Args:
        value: The value.
        most: Maximum number of characters. Defaults to 60.
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = f"something of type {type(value).__name__} that is too long to show"
    return without_breaks(text, most)


def without_breaks(text: str, most: int) -> str:
    """Replace each run of white space of a text by a space, and cut the text.

    Args:
        text: The text.
        most: Maximum number of characters.
    """
    return " ".join(text.split())[:most]


def visible(text: str) -> str:
    """Escape the characters of an untrusted text that are unprintable or change the direction of writing."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable(text: str, most: int = _MOST) -> str:
    """Escape a text as `visible` does, and leave out the middle of a long one.

    Args:
        text: The text.
        most: Number of characters above which the middle is left out. Defaults to 1000.
    """
    line = visible(text)
    return line if len(line) <= most else f"{line[: most // 2]} ... {line[-most // 2 :]}"


class InputError(ValueError):
    """An error in a file, an option or another value from the user.

    The message is one line: the place, then what was found there and what was expected. It may quote untrusted text,
    which is escaped and shortened by `printable`.

    Args:
        parts: The place from the outside in, such as a file and a field of it; then what is wrong there, or another
            `InputError`, whose place is inside.

    Attributes:
        place: Where it is: a file, an option or a field, or several of them such as `options.json: lstm.dim`. Empty for
            options that are missing or exclude each other, and for a package that is not installed.
        problem: What is wrong there.

    Examples:
        >>> from elmo_mf.errors import InputError
        >>> error = InputError("sweep.json", "ranks", "found 0, expected an integer of at least 1")
        >>> str(error)
        'sweep.json: ranks: found 0, expected an integer of at least 1'
        >>> error.place
        'sweep.json: ranks'
    """

    def __init__(self, *parts: object) -> None:
        texts: list[str] = []
        for part in parts:  # an error of a part stands at its place
            texts += part.args if isinstance(part, InputError) else [str(part)]
        super().__init__(*texts)

    def __str__(self) -> str:
        return printable(": ".join(self.args))

    @property
    def place(self) -> str:
        """The place of what is wrong."""
        return printable(": ".join(self.args[:-1]))

    @property
    def problem(self) -> str:
        """The problem at the place."""
        return printable(self.args[-1])

    def renamed(self, old: Path, new: str | Path) -> InputError:
        """Return the error with another path in place of a temporary one.

        Args:
            old: The path that the error names.
            new: The path that the user knows.
        """
        return InputError(*(part.replace(str(old), str(new)) for part in self.args))


INSTALLATION = {
    "allennlp": "AllenNLP 2.10.1 with `elmo-mf setup-allennlp`",
    "allennlp_models": "AllenNLP's models 2.10.1 with `elmo-mf setup-allennlp`",
    "huggingface_hub": "Hugging Face's client with `pip install 'elmo-mf[hub]'`",
    "_jsonnet": "it with `pip install jsonnet`",
    **dict.fromkeys(("mlflow", "sqlalchemy", "alembic"), "MLflow with `pip install 'elmo-mf[mlflow]'`"),
    "pyarrow": "it with `pip install 'elmo-mf[parquet]'`",
    "ray": "it with `pip install 'elmo-mf[cluster]'`",
}
"""How to install what some commands need, by the name of the module."""


def check_installed(module: str) -> None:
    """Check before the work that one of the modules in `INSTALLATION` is installed.

    Raises:
        InputError: It is not.
    """
    if find_spec(module) is None:
        raise not_installed(module)


def not_installed(module: str) -> InputError:
    """Return the error for one of the modules in `INSTALLATION` that is not installed."""
    return InputError(f"the Python module {module} is not installed; install {INSTALLATION[module]}")


def check_finite(what: str, value: float, advice: str) -> None:
    """Check that a number of a training run, such as its loss, is still usable.

    Args:
        what: Name of the number, for the message.
        value: The number.
        advice: What the user can do, for the message.

    Raises:
        InputError: `value` is NaN or infinite.
    """
    if not math.isfinite(value):
        raise InputError(what, f"found {value}, expected a finite number; {advice}")


def missing(path: Path, kind: str, expected: str) -> InputError:
    """Return the error for a file that does not exist, with the closest name in its folder as a suggestion.

    Args:
        path: The file.
        kind: Kind of file for the message, such as `weight file`.
        expected: Expected content for the message.
    """
    try:
        neighbours = sorted(file.name for file in islice(path.parent.iterdir(), _NEIGHBOURS))
    except (OSError, ValueError):  # ValueError: a name that no file system has
        neighbours = []
    return InputError(path, f"no such {kind}, expected {expected}{_meant(path.name, neighbours)}")
