"""Tests of groups of options: one option for each field, and the object that a command receives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from elmo_mf.cli._option_groups import with_groups
from elmo_mf.errors import InputError


@dataclass(frozen=True)
class Place:
    city: Annotated[str, typer.Option(help="Name of a city.")]
    floor: Annotated[int, typer.Option(min=-1, help="Number of a floor.")] = 0


class Size(BaseModel):
    width: Annotated[int, Field(ge=1, le=9, description="Width in metres.")] = 3
    color: Annotated[Literal["red", "blue"], Field(description="red or blue.")] = "red"
    flat: Annotated[bool, Field(description="Without a roof.")] = False
    hidden: int | None = None


def _run(*arguments: str) -> tuple[Any, list[Any]]:
    app, received = typer.Typer(), list[Any]()

    def build(name: Annotated[str, typer.Argument()], place: Place, size: Size, loud: bool = False) -> None:
        received.extend([name, place, size, loud])

    app.command()(with_groups(build))
    return CliRunner().invoke(app, list(arguments)), received


def test_defaults_and_values() -> None:
    _, received = _run("house", "--city", "Oslo")
    assert received == ["house", Place("Oslo"), Size(), False]
    _, received = _run(
        "house", "--city", "Rome", "--floor", "-1", "--width", "9", "--color", "blue", "--flat", "--loud"
    )
    assert received == ["house", Place("Rome", -1), Size(width=9, color="blue", flat=True), True]


@pytest.mark.parametrize(
    "arguments",
    [["house"], ["house", "--city", "Oslo", "--floor", "-2"], ["house", "--city", "Oslo", "--width", "10"],
     ["house", "--city", "Oslo", "--hidden", "1"], ["house", "--city", "Oslo", "--no-flat"]],
)  # fmt: skip
def test_bounds_and_names_are_those_of_the_fields(arguments: list[str]) -> None:
    result, received = _run(*arguments)
    assert result.exit_code == 2 and not received


def test_a_value_that_the_model_rejects() -> None:
    result, _ = _run("house", "--city", "Oslo", "--color", "green")
    assert isinstance(result.exception, InputError)
    assert str(result.exception).startswith("--color: found 'green', expected one of red, blue")


def test_help_is_that_of_the_fields() -> None:
    result, _ = _run("--help")
    for text in ("Name of a city.", "Width in metres.", "red or blue.", "Without a roof.", "1<=x<=9"):
        assert text in result.output
