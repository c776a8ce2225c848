"""Tests of one-line errors of pydantic models."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from elmo_mf.errors import InputError
from elmo_mf.io.validation import validated, validated_json
from tests.conftest import rejected


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    size: int = Field(ge=2)


class _Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    name: Literal["one", "two"]
    inner: _Inner | None = None
    several: list[_Inner] = []
    either: int | Literal["all"] = "all"
    share: float = Field(default=0.5, gt=0, lt=1)
    pair: tuple[int, int] = (1, 2)
    code: str = Field(default="a", pattern="^[a-z]*$", max_length=3)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "f.json: found [], expected an object with its keys"),
        ({}, "f.json: name: missing, expected a value"),
        ({"name": "tow"}, "f.json: name: found 'tow', expected one of one, two; did you mean two?"),
        ({"name": "one", "inner": {"size": 1}}, "f.json: inner.size: found 1, expected an integer of at least 2"),
        ({"name": "one", "inner": {"sizes": 3}}, "f.json: inner: found the key 'sizes'"),
        (
            {"name": "one", "inner": {"size": 3, "sise": 3}},
            "f.json: inner: found the key 'sise', expected any of size; did you mean size?",
        ),
        (
            {"name": "one", "several": [{"size": 2}, {"size": "x"}]},
            "f.json: several.1.size: found 'x', expected an int",
        ),
        ({"name": "one", "either": 1.5}, "f.json: either: found 1.5, expected an integer or all"),
        ({"name": "one", "share": float("nan")}, "f.json: share: found nan, expected a finite number"),
        ({"name": "one", "share": 1}, "f.json: share: found 1, expected a number below 1.0"),
        ({"name": "one", "pair": (1,)}, "f.json: pair.1: missing, expected a value"),
        ({"name": "one", "code": "A"}, "f.json: code: found 'A', expected a text that matches ^[a-z]*$"),
        ({"name": "one", "code": "abcd"}, "f.json: code: found 'abcd', expected a text of at most 3 characters"),
        ({"name": "one\n" * 99}, "f.json: name: found 'one\\none\\n"),
    ],
)
def test_one_line(raw: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        validated(_Outer, raw, "f.json")
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_field_of_a_key() -> None:
    """A dot joins the field to a place that is a key, not a file."""
    with rejected("model.inner.size", "found 0"):
        validated(_Outer, {"name": "one", "inner": {"size": 0}}, "model")


def test_instances_are_accepted() -> None:
    outer = _Outer(name="one", inner=_Inner(size=2))
    assert validated(_Outer, outer, "model") == outer


def test_json() -> None:
    """JSON fails as parsed values do; what is not JSON is named by what it should be."""
    assert validated_json(_Outer, b'{"name": "one"}', "f.json", "a form").name == "one"
    with rejected("f.json", "found something that is not JSON"):
        validated_json(_Outer, b'{"name": ', "f.json", "a form")
    with rejected("f.json: inner.size", "found 0, expected an integer of at least 2"):
        validated_json(_Outer, '{"name": "one", "inner": {"size": 0}}', "f.json", "a form")
