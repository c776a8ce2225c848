"""Base of the models of runs and records: strictness, and bounds of numbers and texts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

from elmo_mf.errors import shown
from elmo_mf.io.reading import MOST_DEPTH
from elmo_mf.io.validation import unexpected, words

MOST_INT = 2**53 - 1
"""Largest integer that every program that reads JSON keeps exactly."""
MOST_TEXT = 10_000
"""Most characters of a text in a config."""
_MOST_KEY = 200  # characters

Int = Annotated[int, Field(ge=-MOST_INT, le=MOST_INT)]
Count = Annotated[int, Field(ge=0, le=MOST_INT)]
PositiveInt = Annotated[int, Field(ge=1, le=MOST_INT)]
Number = Annotated[float, Field(ge=-1e30, le=1e30)]
Positive = Annotated[float, Field(ge=1e-12, le=1e30)]
Text = Annotated[str, Field(max_length=1000)]
Key = Annotated[str, Field(max_length=_MOST_KEY)]
Name = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
"""A name that can be part of a file's name."""
MetricName = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+@/ -]*$")]
"""Name of a metric."""
Many = Field(max_length=10_000)


class Data(BaseModel):
    """Immutable data in JSON: no unknown keys, no conversions, no numbers that are not finite."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def to_dict(self) -> dict[str, Any]:
        """Return the canonical JSON form: the same for equal objects, without keys that have their default value."""
        return self.model_dump(mode="json", exclude_defaults=True)


Value = TypeVar("Value")


def within_bounds(value: Value) -> Value:
    """Check what no schema describes, such as an AllenNLP config: its depth, and every number and text in it.

    Raises:
        PydanticCustomError: Something in it is too deep, too long or not finite.
    """
    level: list[tuple[str, Any]] = [("", value)]
    for _ in range(MOST_DEPTH):
        level = [inner for where, outer in level for inner in _children(where, outer)]
        for where, one in level:
            if (expected := _expected(one)) is not None:
                raise _out_of_bounds(where, one, expected)
    if level:
        raise _out_of_bounds(level[0][0], level[0][1], f"at most {MOST_DEPTH} levels")
    return value


JsonObject = Annotated[dict[Key, JsonValue], AfterValidator(within_bounds)]
"""A JSON object without a schema of its own."""


def _children(where: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if len(key) > _MOST_KEY:
                raise _out_of_bounds(where, key, f"a key of at most {_MOST_KEY} characters")
            yield f"{where}.{key}", inner
    elif isinstance(value, list):
        yield from ((f"{where}.{index}", inner) for index, inner in enumerate(value))


def _expected(value: Any) -> str | None:
    """Description of the value expected in place of one that no report can show; None where it can."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if isinstance(value, int) and abs(value) > MOST_INT:
        return f"an integer of at most {MOST_INT}"
    if isinstance(value, str) and len(value) > MOST_TEXT:
        return f"at most {MOST_TEXT} characters"
    return None


def _out_of_bounds(where: str, value: Any, expected: str) -> PydanticCustomError:
    return unexpected(where.removeprefix("."), words(shown(value)), expected)
