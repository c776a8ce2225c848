"""`options.json` of an ELMo checkpoint: the sizes of the biLM, in the format of bilm-tf and AllenNLP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elmo_mf.bilm.history import History
from elmo_mf.bilm.unicode_ids import CHARACTERS, check_entries
from elmo_mf.bilm.vocabulary import MOST_WORDS
from elmo_mf.errors import InputError, instead_of
from elmo_mf.io import check_settled, read_json
from elmo_mf.io.reading import MOST_DEPTH, nested_deeper

_MOST_LAYERS = 1000  # of anything; far more than there are, and few enough to look at each
_MOST_BYTES = 10_000_000
MOST_CHARACTERS = 1_200_000
"""Largest number of characters of a Unicode CNN; there are fewer in Unicode."""


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
    """Sizes of the character CNN.

    Attributes:
        embedding_dim: Width of a character's vector.
        filters: (width, number) pairs of the convolutions.
        n_highway: Number of highway layers.
        activation: `relu` or `tanh`, of the convolutions.
        n_characters: Number of characters; 261 or 262 for bilm-tf, whose arrays have 261 rows either way.
        max_characters_per_token: Number of character ids of a token, with those around the word and the padding.
    """

    title: ClassVar[str] = "character CNN"
    embedding_dim: int
    filters: tuple[tuple[int, int], ...]
    n_highway: int
    activation: str = "relu"
    n_characters: int = 262
    max_characters_per_token: int = 50

    @property
    def n_filters(self) -> int:
        """Number of filters of all widths, the width of a highway layer (n)."""
        return sum(number for _, number in self.filters)

    def multiply_adds(self, projection_dim: int | None) -> int:
        """Return the multiply-adds of a token with dense highway layers.

        Args:
            projection_dim: Width of the projection after the highway layers (p); None if there is none.
        """
        convolutions = sum(
            (self.max_characters_per_token - width + 1) * width * self.embedding_dim * number
            for width, number in self.filters
        )
        return convolutions + self.n_highway * 2 * self.n_filters**2 + self.n_filters * (projection_dim or 0)

    def to_dict(self, unread: dict[str, Any]) -> dict[str, Any]:
        """Return the keys of `options.json`.

        Args:
            unread: The keys of `options.json` that this project does not read, which are added.
        """
        unread_cnn = unread.get("char_cnn", {})
        fields = {
            **unread_cnn,
            "embedding": {**unread_cnn.get("embedding", {}), "dim": self.embedding_dim},
            "filters": [list(pair) for pair in self.filters],
            "n_highway": self.n_highway,
            "activation": self.activation,
            "n_characters": self.n_characters,
            "max_characters_per_token": self.max_characters_per_token,
        }
        return {"char_cnn": fields}


@dataclass(frozen=True)
class WordTableOptions:
    """Size of a word table; its vectors have the width of the LSTMs' states, p.

    Attributes:
        n_words: Number of words, `n_tokens_vocab` in `options.json`.
    """

    title: ClassVar[str] = "word table"
    n_words: int

    def multiply_adds(self, projection_dim: int | None) -> int:
        """Return the multiply-adds of a token: none."""
        return 0

    def to_dict(self, unread: dict[str, Any]) -> dict[str, Any]:
        """Return the keys of `options.json`; `unread` adds nothing."""
        return {"n_tokens_vocab": self.n_words}


@dataclass(frozen=True)
class UnicodeCnnOptions:
    """Sizes of a character CNN over Unicode characters and of a table of words, as in ELMoForManyLangs.

    Attributes:
        cnn: Sizes of the character CNN.
        characters: The characters by their ids, counted from 0.
        n_words: Number of words, `n_tokens_vocab` in `options.json`.
        word_dim: Width of the words' vectors.
    """

    title: ClassVar[str] = "Unicode CNN"
    cnn: CharCnnOptions
    characters: tuple[str, ...]
    n_words: int
    word_dim: int

    def multiply_adds(self, projection_dim: int | None) -> int:
        """Return the multiply-adds of a token with dense highway layers.

        Args:
            projection_dim: Width of the projection of characters and word together (p); None if there is none.
        """
        return self.cnn.multiply_adds(projection_dim) + self.word_dim * (projection_dim or 0)

    def to_dict(self, unread: dict[str, Any]) -> dict[str, Any]:
        """Return the keys of `options.json`.

        Args:
            unread: The keys of `options.json` that this project does not read, which are added.
        """
        fields = self.cnn.to_dict({"char_cnn": unread.get("unicode_cnn", {})})["char_cnn"]
        del fields["n_characters"]
        words = {"characters": list(self.characters), "word_dim": self.word_dim}
        return {"unicode_cnn": fields | words, "n_tokens_vocab": self.n_words}


@dataclass(frozen=True)
class BilmOptions:
    """The contents of `options.json`; `extra` keeps the keys that this project does not read, nested ones too.

    A word-level ELMo, which bilm-tf trains where the options have no `char_cnn`, has a word table as its token layer.
    One with `unicode_cnn` reads Unicode characters and words.
    """

    lstm: LstmOptions
    token_layer: CharCnnOptions | WordTableOptions | UnicodeCnnOptions
    extra: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def char_cnn(self) -> CharCnnOptions:
        """Sizes of the character CNN.

        Raises:
            InputError: The ELMo has another token layer.
        """
        if not isinstance(self.token_layer, CharCnnOptions):
            found = f"found an ELMo with a {self.token_layer.title}"
            raise InputError("options", "char_cnn", f"{found}, expected one with a character CNN")
        return self.token_layer

    @property
    def output_dim(self) -> int:
        """Width of one layer's vectors: both directions, `2 * projection_dim`."""
        return 2 * self.lstm.projection_dim

    def with_cells(self, cells: int) -> BilmOptions:
        """Return the options of the same ELMo with another number of memory cells."""
        return replace(self, lstm=replace(self.lstm, dim=cells))

    @property
    def history(self) -> History:
        """The history of the weights, noted as the list `compressions` under the key `elmo_mf`."""
        return History(tuple(self.extra.get("elmo_mf", {}).get("compressions", ())))

    def followed_by(self, step: Mapping[str, Any]) -> BilmOptions:
        """Return options whose history has one step more."""
        notes = {**self.extra.get("elmo_mf", {}), "compressions": list(self.history.followed_by(step).steps)}
        return replace(self, extra={**self.extra, "elmo_mf": notes})

    @classmethod
    def from_file(cls, path: str | Path) -> BilmOptions:
        """Read and check an `options.json`.

        Returns:
            The options.

        Raises:
            InputError: The file is missing, not JSON, or a field is missing or has an impossible value.
        """
        path = Path(path)
        check_settled(path.parent)
        raw = read_json(path, "options file", "options.json of an ELMo", most=_MOST_BYTES)
        return cls.from_dict(raw, str(path))

    @classmethod
    def from_dict(cls, raw: Any, where: str = "options") -> BilmOptions:
        """Check the parsed JSON of an `options.json`.

        Args:
            raw: The parsed JSON.
            where: What is read, for errors. Defaults to `options`.

        Returns:
            The options.

        Raises:
            InputError: A field is missing or has an impossible value.
        """
        if nested_deeper(raw, MOST_DEPTH):
            raise InputError(where, f"found values nested more than {MOST_DEPTH} deep, expected options.json")
        model = _model(raw)
        try:
            parsed = model.model_validate(raw)
            token_layer = parsed.token_layer()
        except ValidationError as error:
            raise InputError(where, *_first(error, model)) from None
        except InputError as error:
            raise InputError(where, error) from None
        lstm = parsed.lstm
        return cls(
            lstm=LstmOptions(
                dim=lstm.dim,
                projection_dim=lstm.projection_dim,
                n_layers=lstm.n_layers,
                cell_clip=lstm.cell_clip or None,
                proj_clip=lstm.proj_clip or None,
                use_skip_connections=lstm.use_skip_connections,
            ),
            token_layer=token_layer,
            extra=_unread(raw, parsed),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `from_dict` reads back."""
        lstm = self.lstm
        return {
            **self.extra,
            "lstm": {
                **self.extra.get("lstm", {}),
                "dim": lstm.dim,
                "projection_dim": lstm.projection_dim,
                "n_layers": lstm.n_layers,
                "cell_clip": lstm.cell_clip,
                "proj_clip": lstm.proj_clip,
                "use_skip_connections": lstm.use_skip_connections,
            },
            **self.token_layer.to_dict(self.extra),
        }


def _integer(least: int, most: int = 1 << 20) -> Any:
    return Field(ge=least, le=most, description=f"an integer from {least} to {most}")


_Size = Annotated[int, _integer(1)]
_Pair = Annotated[list[_Size], Field(min_length=2, max_length=2)]
_Clip = Annotated[float | None, Field(ge=0, lt=1e30, description="a number of at least 0, or null")]


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


class _Filters(_Fields):
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
    max_characters_per_token: Annotated[int, _integer(3, 10_000)] = 50

    def sizes(self, name: str, n_characters: int) -> CharCnnOptions:
        widest = max(width for width, _ in self.filters)
        if widest > self.max_characters_per_token:
            expected = f"at most max_characters_per_token, {self.max_characters_per_token}"
            raise InputError(f"{name}.filters", f"found a width of {widest}, expected {expected}")
        return CharCnnOptions(
            embedding_dim=self.embedding.dim,
            filters=tuple((width, number) for width, number in self.filters),
            n_highway=self.n_highway or 0,
            activation=self.activation,
            n_characters=n_characters,
            max_characters_per_token=self.max_characters_per_token,
        )


class _CharCnn(_Filters):
    n_characters: Annotated[Literal[261, 262], Field(description="261 or 262")] = 262


class _UnicodeCnn(_Filters):
    characters: Annotated[
        list[str],
        Field(min_length=1, max_length=MOST_CHARACTERS, description=f"a list of at most {MOST_CHARACTERS:,} texts"),
    ]
    word_dim: _Size


class _ElmoMfKey(_Fields):
    compressions: Annotated[
        list[dict[str, Any]], Field(max_length=_MOST_LAYERS, description=f"a list of at most {_MOST_LAYERS} objects")
    ] = []


class _Options(_Fields):
    lstm: Annotated[_Lstm, Field(description="an object")]
    elmo_mf: Annotated[_ElmoMfKey, Field(description="an object")] = _ElmoMfKey()

    def token_layer(self) -> CharCnnOptions | WordTableOptions | UnicodeCnnOptions:
        raise NotImplementedError


class _CharacterOptions(_Options):
    char_cnn: Annotated[_CharCnn, Field(description="an object")]

    def token_layer(self) -> CharCnnOptions:
        return self.char_cnn.sizes("char_cnn", self.char_cnn.n_characters)


class _WordOptions(_Options):
    n_tokens_vocab: Annotated[int, _integer(1, MOST_WORDS)]

    def token_layer(self) -> WordTableOptions:
        return WordTableOptions(self.n_tokens_vocab)


class _UnicodeOptions(_Options):
    unicode_cnn: Annotated[_UnicodeCnn, Field(description="an object")]
    n_tokens_vocab: Annotated[int, _integer(1, MOST_WORDS)]

    def token_layer(self) -> UnicodeCnnOptions:
        cnn = self.unicode_cnn
        check_entries(cnn.characters, CHARACTERS, "unicode_cnn.characters")
        sizes = cnn.sizes("unicode_cnn", len(cnn.characters))
        return UnicodeCnnOptions(sizes, tuple(cnn.characters), self.n_tokens_vocab, cnn.word_dim)


def _model(raw: Any) -> type[_Options]:
    if isinstance(raw, dict) and "char_cnn" not in raw:
        if "unicode_cnn" in raw:
            return _UnicodeOptions
        if "n_tokens_vocab" in raw:
            return _WordOptions
    return _CharacterOptions


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


def _first(error: ValidationError, model: type[_Options]) -> tuple[str, str]:
    """Return the place of the first error, and what was found and expected of the innermost field that it is in."""
    detail = error.errors(include_url=False, include_context=False)[0]
    names = [str(part) for part in detail["loc"] if isinstance(part, str)]
    fields: Any = model
    expected = "an object"
    for name in names:
        if name in getattr(fields, "model_fields", {}):
            field = fields.model_fields[name]
            fields, expected = field.annotation, field.description or expected
    found = None if detail["type"] == "missing" else _kind(detail["input"])
    return ".".join(names) or "top level", instead_of(expected, found)


def _kind(value: Any) -> str:
    names = {dict: "an object", type(None): "null"}
    if value == []:
        return "an empty list"
    return names.get(type(value)) or json.dumps(value, default=str)[:60]
