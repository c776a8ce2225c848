"""`options.json` of an ELMo checkpoint: the sizes of the biLM, in the format of bilm-tf and AllenNLP."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elmo_mf.errors import InputError
from elmo_mf.io import check_settled, read_json
from elmo_mf.io.reading import MOST_DEPTH, nested_deeper

_MOST_LAYERS = 1000  # of anything; far more than there are, and few enough to look at each
_MOST_BYTES = 10_000_000


@dataclass(frozen=True)
class LstmOptions:
    """Sizes of one direction: `dim` memory cells (n), a state of `projection_dim` numbers (p), `n_layers` layers."""

    dim: int
    projection_dim: int
    n_layers: int
    cell_clip: float | None = 3.0
    proj_clip: float | None = 3.0
    use_skip_connections: bool = True


@dataclass(frozen=True)
class CharCnnOptions:
    """Sizes of the character CNN; `filters` lists (width, number) pairs."""

    embedding_dim: int
    filters: tuple[tuple[int, int], ...]
    n_highway: int
    activation: str = "relu"
    n_characters: int = 262
    max_characters_per_token: int = 50

    @property
    def n_filters(self) -> int:
        return sum(number for _, number in self.filters)


@dataclass(frozen=True)
class BilmOptions:
    """The contents of `options.json`; `extra` keeps the keys that this project does not read, nested ones too."""

    lstm: LstmOptions
    char_cnn: CharCnnOptions
    extra: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def output_dim(self) -> int:
        """Width of one layer's vectors: both directions, `2 * projection_dim`."""
        return 2 * self.lstm.projection_dim

    @property
    def compressions(self) -> list[dict[str, Any]]:
        """What was done to the weights, oldest first: `Compression` as JSON, files by their SHA-256."""
        return list(self.extra.get("elmo_mf", {}).get("compressions", []))

    @classmethod
    def from_file(cls, path: str | Path) -> BilmOptions:
        """Read and check an `options.json`.

        Raises:
            InputError: the file is missing, not JSON, or a field is missing or has an impossible value.
        """
        path = Path(path)
        check_settled(path.parent)
        raw = read_json(path, "options file", "options.json of an ELMo", most=_MOST_BYTES)
        return cls.from_dict(raw, str(path))

    @classmethod
    def from_dict(cls, raw: Any, where: str = "options") -> BilmOptions:
        """Check the parsed JSON of an `options.json`; `where` names it in errors."""
        if nested_deeper(raw, MOST_DEPTH):
            raise InputError(f"{where}: found values nested more than {MOST_DEPTH} deep, expected options.json")
        try:
            parsed = _Options.model_validate(raw)
        except ValidationError as error:
            raise InputError(f"{where}: {_first(error)}") from None
        lstm, cnn = parsed.lstm, parsed.char_cnn
        widest = max(width for width, _ in cnn.filters)
        if widest > cnn.max_characters_per_token:
            expected = f"at most max_characters_per_token, {cnn.max_characters_per_token}"
            raise InputError(f"{where}: char_cnn.filters: found a width of {widest}, expected {expected}")
        return cls(
            lstm=LstmOptions(
                dim=lstm.dim,
                projection_dim=lstm.projection_dim,
                n_layers=lstm.n_layers,
                cell_clip=lstm.cell_clip or None,
                proj_clip=lstm.proj_clip or None,
                use_skip_connections=lstm.use_skip_connections,
            ),
            char_cnn=CharCnnOptions(
                embedding_dim=cnn.embedding.dim,
                filters=tuple((width, number) for width, number in cnn.filters),
                n_highway=cnn.n_highway or 0,
                activation=cnn.activation,
                n_characters=cnn.n_characters,
                max_characters_per_token=cnn.max_characters_per_token,
            ),
            extra=_unread(raw, parsed),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `from_dict` reads back."""
        lstm, cnn = self.lstm, self.char_cnn
        unread = {"lstm": {}, "char_cnn": {}} | self.extra
        return {
            **self.extra,
            "lstm": {
                **unread["lstm"],
                "dim": lstm.dim,
                "projection_dim": lstm.projection_dim,
                "n_layers": lstm.n_layers,
                "cell_clip": lstm.cell_clip,
                "proj_clip": lstm.proj_clip,
                "use_skip_connections": lstm.use_skip_connections,
            },
            "char_cnn": {
                **unread["char_cnn"],
                "embedding": {**unread["char_cnn"].get("embedding", {}), "dim": cnn.embedding_dim},
                "filters": [list(pair) for pair in cnn.filters],
                "n_highway": cnn.n_highway,
                "activation": cnn.activation,
                "n_characters": cnn.n_characters,
                "max_characters_per_token": cnn.max_characters_per_token,
            },
        }


def _integer(least: int, most: int = 1 << 20) -> Any:
    return Field(ge=least, le=most, description=f"an integer from {least} to {most}")


_Size = Annotated[int, _integer(1)]
_Pair = Annotated[list[_Size], Field(min_length=2, max_length=2)]
_Clip = Annotated[float | None, Field(ge=0, lt=1e30, description="a number from 0 on, or null")]


class _Fields(BaseModel):
    """An object of options.json; a field's description says what is expected. Defaults are bilm-tf's."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Lstm(_Fields):
    dim: _Size
    projection_dim: _Size
    n_layers: Annotated[int, _integer(1, _MOST_LAYERS)] = 1
    cell_clip: _Clip = None
    proj_clip: _Clip = None
    use_skip_connections: Annotated[bool, Field(description="true or false")] = False


class _Embedding(_Fields):
    dim: _Size


class _CharCnn(_Fields):
    embedding: Annotated[_Embedding, Field(description="an object")]
    filters: Annotated[
        list[_Pair],
        Field(
            min_length=1,
            max_length=_MOST_LAYERS,
            description=f"a list of [width, number] pairs of positive integers, at most {_MOST_LAYERS}",
        ),
    ]
    n_highway: Annotated[int | None, _integer(0, _MOST_LAYERS)] = 0
    activation: Annotated[Literal["relu", "tanh"], Field(description="relu or tanh")]
    n_characters: Annotated[Literal[261, 262], Field(description="261 or 262")] = 262
    max_characters_per_token: Annotated[int, _integer(3, 10_000)] = 50


class _Notes(_Fields):
    compressions: Annotated[
        list[dict[str, Any]], Field(max_length=_MOST_LAYERS, description=f"a list of at most {_MOST_LAYERS} objects")
    ] = []


class _Options(_Fields):
    lstm: Annotated[_Lstm, Field(description="an object")]
    char_cnn: Annotated[_CharCnn, Field(description="an object")]
    elmo_mf: Annotated[_Notes, Field(description="an object")] = _Notes()


def _unread(raw: dict[str, Any], parsed: _Fields) -> dict[str, Any]:
    """The part of an object that has no field, and all of `elmo_mf`, which is kept unchanged."""
    unread = {}
    for key, value in raw.items():
        inner = getattr(parsed, key) if key in type(parsed).model_fields else None
        if key == "elmo_mf" or key not in type(parsed).model_fields:
            unread[key] = value
        elif isinstance(inner, _Fields) and (inner_unread := _unread(value, inner)):
            unread[key] = inner_unread
    return unread


def _first(error: ValidationError) -> str:
    """Describe the first error, with what was expected of the innermost field that it is in."""
    detail = error.errors(include_url=False, include_context=False)[0]
    names = [str(part) for part in detail["loc"] if isinstance(part, str)]
    fields: Any = _Options
    expected = "an object"
    for name in names:
        if name in getattr(fields, "model_fields", {}):
            field = fields.model_fields[name]
            fields, expected = field.annotation, field.description or expected
    found = "nothing" if detail["type"] == "missing" else _kind(detail["input"])
    return f"{'.'.join(names) or 'top level'}: found {found}, expected {expected}"


def _kind(value: Any) -> str:
    names = {dict: "an object", type(None): "null"}
    if value == []:
        return "an empty list"
    return names.get(type(value)) or json.dumps(value, default=str)[:60]
