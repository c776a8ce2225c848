"""Format errors of pydantic as one line that names the field, what was found and what was expected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError, from_json

from elmo_mf.errors import InputError, any_of, instead_of, one_of, shown

Model = TypeVar("Model", bound=BaseModel)
UNEXPECTED = "unexpected"
"""Type of the errors that `unexpected` builds."""
_MOST_SHOWN = 100  # characters
_EXPECTED = {
    "missing": "a value",
    "model_type": "an object with its keys",
    "dict_type": "an object with its keys",
    "model_attributes_type": "an object with its keys",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "of at most"),
}


def unexpected(field: str, value: object, expected: str) -> PydanticCustomError:
    """Build the error that a validator raises for a value.

    Args:
        field: Name of the field, for a validator of the whole model; empty for a validator of the field itself.
        value: The value, or `words` that describe it.
        expected: What would be valid, without the word "expected".
    """
    found = str(value) if isinstance(value, _Words) else shown(value, _MOST_SHOWN)
    problem = instead_of(expected, None if value is NOTHING else found)
    template = "{field}: {problem}" if field else "{problem}"
    return PydanticCustomError(UNEXPECTED, template, {"field": field, "problem": problem, "expected": expected})


class _Words(str):
    """Words that describe a value, in place of the value."""


NOTHING = _Words("nothing")
"""A value that is missing."""


def words(text: str) -> str:
    """Mark a description of what was found, which is shown without quotes."""
    return _Words(text)


def validated(model: type[Model], raw: object, where: str) -> Model:
    """Validate a value read from a file or the command line.

    Args:
        model: A pydantic model.
        raw: An object with the model's keys, or an instance of the model.
        where: What is validated, such as a file or the key that it was read from.

    Raises:
        InputError: One line that names the first wrong field, what was found there, and what was expected.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InputError(*first_error(error, raw, where, model)) from None


def validated_json(model: type[Model], raw: bytes | str, where: str, content: str) -> Model:
    """Validate JSON, as `validated` does a parsed value.

    Args:
        model: A pydantic model.
        raw: The JSON.
        where: Where it comes from, such as a file.
        content: What the file should hold, for the error of one that is not JSON, such as "a result record".

    Raises:
        InputError: It is not JSON, or a field is wrong.
    """
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            found = f"something that is not JSON ({first['msg'][:100]})"
            raise InputError(where, f"found {found}, expected {content}") from None
        raise InputError(*first_error(error, from_json(raw), where, model)) from None


def first_error(
    error: ValidationError, raw: object, where: str, model: type[BaseModel] | TypeAdapter[Any] | None = None
) -> tuple[str, str]:
    """Return the place of the first wrong field of a value, and what was found there and expected.

    Args:
        error: The error of a model.
        raw: The value that was validated.
        where: What is validated, as in `validated`.
        model: The model, whose keys are listed where an unknown key was found.
    """
    # report a misspelled key rather than the missing key that results from it
    details = sorted(error.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden")
    paths = [_path(detail, raw) for detail in details]
    field = paths[0][:1]
    deepest = max((path for path in paths if path[:1] == field), key=len)
    alternatives = [detail for detail, path in zip(details, paths, strict=True) if path == deepest]
    first = alternatives[0]
    if first["type"] == "extra_forbidden":
        key, outer = deepest[-1], deepest[:-1]
        return _place(where, outer), f"found the key {shown(key, _MOST_SHOWN)}, {any_of(key, _keys(model, outer))}"
    if first["type"] == UNEXPECTED:
        context = first["ctx"]
        path = (*deepest, context["field"]) if context["field"] else deepest
        return _place(where, path), context["problem"]
    found = None if first["type"] == "missing" else shown(first["input"], _MOST_SHOWN)
    expected = " or ".join(dict.fromkeys(_expected(detail).removeprefix("expected ") for detail in alternatives))
    return _place(where, deepest), instead_of(expected, found)


def _path(detail: ErrorDetails, raw: object) -> tuple[str | int, ...]:
    """Return the keys and indices that lead to an error, without pydantic's names for members of a union."""
    path: list[str | int] = []
    for part in detail["loc"]:
        if isinstance(raw, BaseModel) and part in type(raw).model_fields:
            raw = getattr(raw, str(part))
        elif (isinstance(raw, Mapping) and part in raw) or (isinstance(raw, (list, tuple)) and part in range(len(raw))):
            raw = raw[part]  # type: ignore[index]
        elif not (detail["type"] == "missing" and part == detail["loc"][-1]):
            continue
        path.append(part)
    return tuple(path)


def _place(where: str, path: Sequence[str | int]) -> str:
    """Join a place and a path as `compression.rank`, or as `file.json: id` if the place is not an identifier."""
    inner = ".".join(str(part)[:60] for part in path)
    if not inner:
        return where
    return f"{where}.{inner}" if where.isidentifier() else f"{where}: {inner}"


def _expected(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "literal_error":
        known = [name.strip("'") for name in context["expected"].replace(" or ", ", ").split(", ")]
        return one_of(detail["input"], known) if len(known) > 1 else f"expected {known[0]}"
    if kind in _BOUNDS:
        key, relation = _BOUNDS[kind]
        return f"expected {'an integer' if isinstance(context[key], int) else 'a number'} {relation} {context[key]}"
    if kind == "too_short":
        least = context["min_length"]
        return f"expected at least {least} {'entry' if least == 1 else 'entries'}"
    if kind == "too_long":
        return f"expected at most {context['max_length']} entries"
    if kind == "string_too_long":
        return f"expected a text of at most {context['max_length']} characters"
    if kind == "string_pattern_mismatch":
        return f"expected a text that matches {context['pattern']}"
    if kind == UNEXPECTED:
        return f"expected {context['expected']}"
    return f"expected {_EXPECTED.get(kind) or _sentence(detail['msg'])}"


def _sentence(message: str) -> str:
    return json.dumps(message)[1:-1].removeprefix("Input should be ")


def _keys(model: Any, path: Sequence[str | int]) -> list[str]:
    """Return the keys of the model that a path leads to."""
    for part in path:
        fields = getattr(model, "model_fields", {})
        if part in fields:
            model = next(_models(fields[part].annotation), None)
    return sorted(getattr(model, "model_fields", ()))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
