"""Groups of options: a parameter of a command may be an object whose fields are options.

A command takes few parameters, such as `compression: CompressionOptions` or `settings: PretrainSettings`, and the same
classes serve several commands or the Python API. A group is a dataclass, whose fields are annotated as Typer's
parameters are (`Annotated[int, Option(...)]`), or a pydantic model, whose fields give the help text and the bounds.
Errors name its options if it has a method `option_names`.
"""

from __future__ import annotations

import functools
import inspect
from collections import ChainMap
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from elmo_mf.cli import _completion
from elmo_mf.cli._option_names import NamesOptions, options_named
from elmo_mf.errors import InputError
from elmo_mf.io.validation import first_error


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for Typer in which each group is replaced by its options.

    Args:
        command: A function whose annotations are parameters of Typer, dataclasses or pydantic models.

    Raises:
        InputError: On a call: an option has a value that its pydantic model rejects.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: _options(hint) for name, hint in hints.items() if _is_group(hint)}
    signature = inspect.signature(command)
    flat: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        flat += groups.get(name) or [parameter.replace(annotation=hints[name])]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        built = {
            name: _build(hints[name], {option.name: values.pop(option.name) for option in options})
            for name, options in groups.items()
        }
        named = [group.option_names() for group in built.values() if isinstance(group, NamesOptions)]
        with options_named(dict(ChainMap(*map(dict, named)))):
            command(**values, **built)

    keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in flat]
    vars(run)["__signature__"] = inspect.Signature(keyword)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return run


def _is_group(hint: Any) -> bool:
    return isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, BaseModel))


def _options(group: Any) -> list[inspect.Parameter]:
    if issubclass(group, BaseModel):  # fields without a description are not on the command line
        return [_option(name, field) for name, field in group.model_fields.items() if field.description]
    hints = get_type_hints(group, include_extras=True)
    options = []
    for field in fields(group):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        default = inspect.Parameter.empty if default is MISSING else default
        options.append(_parameter(field.name, hints[field.name], default))
    return options


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """Return the option of a field of a pydantic model."""
    bounds = {type(bound): bound for bound in field.metadata}
    limits: dict[str, Any] = {}
    if bounds and bounds.keys() <= {Ge, Le}:  # Typer checks these alone, the model all others
        limits = {"min": getattr(bounds.get(Ge), "ge", None), "max": getattr(bounds.get(Le), "le", None)}
    kind = field.annotation
    if get_origin(kind) is Literal:  # validated by the model
        limits["autocompletion"] = _completion.complete_one(partial(get_args, kind))
        kind = str
    names = [f"--{name.replace('_', '-')}"] if kind is bool else []
    return _parameter(name, Annotated[kind, typer.Option(*names, help=field.description, **limits)], field.default)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _build(group: Any, values: dict[str, Any]) -> Any:
    try:
        return group(**values)
    except ValidationError as error:
        place, problem = first_error(error, values, "options", group)
        raise InputError(place.replace("options.", "--", 1), problem) from None
