"""What is not there, what was perhaps meant, and values in messages."""

from __future__ import annotations

import ast
import errno
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from elmo_mf import errors
from elmo_mf.errors import InputError, any_of, check_finite, missing, one_line, one_of, shown
from elmo_mf.io import OutputError


@pytest.mark.parametrize(
    ("name", "hint"),
    [("trian.txt", "; did you mean train.txt?"), ("weights.hdf5", ""), ("gone/train.txt", "")],
)
def test_a_missing_file(name: str, hint: str, tmp_path: Path) -> None:
    """A neighbour of nearly its name is named; there may be none, and no folder either."""
    (tmp_path / "train.txt").touch()
    error = missing(tmp_path / name, "text file", "one sentence a line")
    assert str(error) == f"{tmp_path / name}: no such text file, expected one sentence a line{hint}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.eye(2), "array([[1., 0.], [0., 1.]])"),  # its repr has two lines
        ("a" * 100, "'" + "a" * 59),
        (10**5000, "something of type int that is too long to show"),
    ],
    ids=["array", "text", "integer"],
)
def test_values_are_shown_in_one_short_line(value: object, text: str) -> None:
    assert shown(value) == text


def test_valid_values_are_listed() -> None:
    assert one_of("Sst", ["sst", "snli"]) == "expected one of sst, snli; did you mean sst?"
    assert any_of(5, ["sst", "snli"]) == "expected any of sst, snli"


def test_errors_of_other_libraries_take_a_short_line() -> None:
    assert one_line(KeyError("a\nb")) == "KeyError: 'a\\nb'"
    assert one_line(ValueError("two\n lines"), 15) == "ValueError: two"


def test_messages_are_printable_and_short() -> None:
    assert str(InputError("a\n\u202eb")) == r"a\n\u202eb"
    assert str(InputError("x" * 5000)) == "x" * 500 + " ... " + "x" * 500


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(value: float) -> None:
    check_finite("loss", 1.0, "try again")
    with pytest.raises(InputError) as error:
        check_finite("loss", value, "try again")
    assert str(error.value) == f"loss: found {value}, expected a finite number; try again"


def test_a_place_and_what_is_wrong_there() -> None:
    """An error that is found inside another place is there, and stays so in another process."""
    inner = InputError("lstm.dim", "found 0, expected an integer of at least 1")
    error = pickle.loads(pickle.dumps(InputError(Path("/tmp/x/options.json"), inner)))
    assert str(error) == "/tmp/x/options.json: lstm.dim: found 0, expected an integer of at least 1"
    assert error.place == "/tmp/x/options.json: lstm.dim"
    assert error.problem == "found 0, expected an integer of at least 1"
    assert error.renamed(Path("/tmp/x"), Path("elmo.zip")).place == "elmo.zip/options.json: lstm.dim"
    assert InputError("--all and --top are mutually exclusive").place == ""


def test_a_result_that_cannot_be_written() -> None:
    error = pickle.loads(pickle.dumps(OutputError("out", OSError(errno.ENOSPC, "full"))))
    assert (error.place, error.problem) == ("out", "cannot be written (the disk is full)") and error.path == Path("out")


_WITH_A_PREFIX = {"errors.py", "extensions.py"}  # the place is put in front where these are caught, or is a module
_OF_SEVERAL = re.compile(r"f?['\"](one of )?(--|\{option\}|\{one\}|\{flag\}|\{others\[0\]\})")


def _alone(path: Path) -> Iterator[str]:
    """Yield the arguments, in the source of a file, of the `InputError`s that are given no place."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InputError" and len(node.args) == 1:
            yield ast.unparse(node.args[0])


@pytest.mark.slow
def test_errors_have_a_place() -> None:
    """It is a file, an option or a field, apart from what was found there; several options have no common place."""
    package = Path(errors.__file__).parent
    files = [path for path in package.rglob("*.py") if path.relative_to(package).as_posix() not in _WITH_A_PREFIX]
    alone = [message for path in files for message in _alone(path) if not message.startswith("*")]
    assert 10 < len(alone) < 30
    assert [message for message in alone if not _OF_SEVERAL.match(message) or ": " in message] == []
