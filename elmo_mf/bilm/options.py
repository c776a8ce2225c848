"""`options.json` of an ELMo checkpoint: the sizes of the biLM, as bilm-tf and AllenNLP write them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError, missing
from elmo_mf.io import check_settled

ACTIVATIONS = ("relu", "tanh")
_MOST_LAYERS = 1000  # of anything; far more than there are, and few enough to look at each
_MOST_BYTES = 10_000_000


@dataclass(frozen=True)
class LstmOptions:
    """Sizes of one direction: `dim` memory cells (n), `projection_dim` state (p), `n_layers` layers."""

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
    """Everything `options.json` says; `extra` keeps the keys this project does not read."""

    lstm: LstmOptions
    char_cnn: CharCnnOptions
    extra: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def output_dim(self) -> int:
        """Width of one layer's vectors: both directions, `2 * projection_dim`."""
        return 2 * self.lstm.projection_dim

    @property
    def compressions(self) -> list[dict[str, Any]]:
        """What was done to the weights, oldest first, each as `Compression.identity` says it."""
        return list(self.extra.get("elmo_mf", {}).get("compressions", []))

    @classmethod
    def from_file(cls, path: str | Path) -> BilmOptions:
        """Read and check an `options.json`.

        # Raises
        InputError: the file is missing, not JSON, or a field is missing or has an impossible value.
        """
        path = Path(path)
        check_settled(path.parent)
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise ValueError(f"{path.stat().st_size} bytes")
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise missing(path, "options file", "options.json of an ELMo") from None
        except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
            raise InputError(
                f"{path}: found something that is not JSON ({_one_line(error)}), expected options.json"
            ) from None
        return cls.from_dict(raw, str(path))

    @classmethod
    def from_dict(cls, raw: Any, where: str = "options") -> BilmOptions:
        """As `from_file`, from the parsed JSON; `where` names it in errors."""
        root = _Fields(raw, where, "")
        lstm, cnn = root.section("lstm"), root.section("char_cnn")
        n_characters = cnn.integer("n_characters", default=262)
        if n_characters not in (261, 262):
            cnn.fail("n_characters", n_characters, "261 or 262")
        activation = cnn.value("activation")
        if activation not in ACTIVATIONS:
            cnn.fail("activation", activation, " or ".join(ACTIVATIONS))
        options = cls(
            lstm=LstmOptions(
                dim=lstm.integer("dim"),
                projection_dim=lstm.integer("projection_dim"),
                n_layers=lstm.integer("n_layers", most=_MOST_LAYERS),
                cell_clip=lstm.clip("cell_clip"),
                proj_clip=lstm.clip("proj_clip"),
                use_skip_connections=lstm.boolean("use_skip_connections"),
            ),
            char_cnn=CharCnnOptions(
                embedding_dim=cnn.section("embedding").integer("dim"),
                filters=cnn.filters("filters"),
                n_highway=cnn.integer("n_highway", least=0, most=_MOST_LAYERS),
                activation=str(activation),
                n_characters=n_characters,
                max_characters_per_token=cnn.integer("max_characters_per_token", least=3, most=10_000, default=50),
            ),
            extra={key: value for key, value in raw.items() if key not in ("lstm", "char_cnn")},
        )
        widest = max(width for width, _ in options.char_cnn.filters)
        if widest > options.char_cnn.max_characters_per_token:
            cnn.fail(
                "filters",
                f"a width of {widest}",
                f"at most max_characters_per_token, {options.char_cnn.max_characters_per_token}",
            )
        return options

    def to_dict(self) -> dict[str, Any]:
        """The JSON object that `from_dict` reads back."""
        lstm, cnn = self.lstm, self.char_cnn
        return {
            **self.extra,
            "lstm": {
                "dim": lstm.dim,
                "projection_dim": lstm.projection_dim,
                "n_layers": lstm.n_layers,
                "cell_clip": lstm.cell_clip,
                "proj_clip": lstm.proj_clip,
                "use_skip_connections": lstm.use_skip_connections,
            },
            "char_cnn": {
                "embedding": {"dim": cnn.embedding_dim},
                "filters": [list(pair) for pair in cnn.filters],
                "n_highway": cnn.n_highway,
                "activation": cnn.activation,
                "n_characters": cnn.n_characters,
                "max_characters_per_token": cnn.max_characters_per_token,
            },
        }


class _Fields:
    """One JSON object of the options, read field by field with errors that name the field."""

    def __init__(self, raw: Any, where: str, name: str) -> None:
        self.where, self.name = where, name
        if not isinstance(raw, dict):
            raise InputError(f"{where}: {name or 'top level'}: found {_kind(raw)}, expected an object")
        self.raw = raw

    def fail(self, key: str, found: Any, expected: str) -> None:
        raise InputError(f"{self.where}: {self.path(key)}: found {found}, expected {expected}")

    def path(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def value(self, key: str) -> Any:
        if key not in self.raw:
            self.fail(key, "nothing", "a value")
        return self.raw[key]

    def section(self, key: str) -> _Fields:
        return _Fields(self.value(key), self.where, self.path(key))

    def integer(self, key: str, least: int = 1, default: int | None = None, most: int = 1 << 20) -> int:
        value = self.raw.get(key, default) if default is not None else self.value(key)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.fail(key, json.dumps(value)[:60], f"an integer from {least} to {most}")
        return int(value)

    def boolean(self, key: str) -> bool:
        value = self.value(key)
        if not isinstance(value, bool):
            self.fail(key, json.dumps(value), "true or false")
        return bool(value)

    def clip(self, key: str) -> float | None:
        """A positive number, or null or 0 for no clipping (as AllenNLP reads it)."""
        value = self.value(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e30:
            self.fail(key, json.dumps(value), "a number from 0 on, or null")
        return float(value) or None

    def filters(self, key: str) -> tuple[tuple[int, int], ...]:
        value = self.value(key)
        expected = "a list of [width, number] pairs of positive integers"
        if not isinstance(value, list) or not 0 < len(value) <= _MOST_LAYERS:
            self.fail(key, _kind(value), f"{expected}, at most {_MOST_LAYERS}")
        for pair in value:
            if (
                not isinstance(pair, list)
                or len(pair) != 2
                or not all(type(x) is int and 0 < x <= 1 << 20 for x in pair)
            ):
                self.fail(key, json.dumps(pair)[:60], expected)
        return tuple((width, number) for width, number in value)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return "an empty list" if value == [] else names.get(type(value), json.dumps(value))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]
