"""Task cards: `tasks/<name>/task.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from elmo_mf.errors import InputError, any_of, missing, one_of
from elmo_mf.harness.formats import FORMATS, DataFormat
from elmo_mf.resources import share

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
T = TypeVar("T", bound=str)
Kind = Literal["elmo", "language-model"]
KINDS: tuple[Kind, ...] = ("elmo", "language-model")
CHANCES = ("majority", "random-span", "unigram")


@dataclass(frozen=True)
class Task:
    """What a sweep trains and scores.

    `kind` says what is compressed: an ELMo inside the task's model, or the core of a language model, which is the
    task's model. `files` maps splits to file names in a data folder; `metrics` maps AllenNLP's metric names to `higher`
    or `lower`, whichever is better; `primary` is the one that the leaderboard ranks by, on the split `scored`.
    """

    name: str
    title: str
    kind: Kind
    config: Path
    format: DataFormat
    files: dict[Split, str]
    scored: Split
    primary: str
    metrics: dict[str, str]
    chance: str
    source: str
    licence: str
    folder: Path

    def judgement(self) -> dict[str, Any]:
        """What of the card a score depends on: how examples are read and what counts."""
        return {
            "format": type(self.format).__name__,
            "scored": self.scored,
            "primary": self.primary,
            "metrics": self.metrics,
            "chance": self.chance,
        }

    @property
    def demo_data(self) -> Path:
        return self.folder / "demo"

    @classmethod
    def from_file(cls, path: Path) -> Task:
        """Read a card.

        # Raises
        InputError: the file is missing, not TOML, or a field is missing or impossible.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise missing(path, "task card", "a TOML file") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"{path}: found something that is not TOML ({error}), expected a task card") from None
        card = _Card(path, raw)
        files = {
            split: card.file("data", split) for split in SPLITS if split != "test" or card.table("data").get("test")
        }
        metrics = {
            name: card.choice(("higher", "lower"), "score", "metrics", name) for name in card.table("score", "metrics")
        }
        return cls(
            name=path.parent.name,
            title=card.text("title"),
            kind=card.choice(KINDS, "kind") if "kind" in raw else "elmo",
            config=path.parent.parent.parent / card.file("config"),
            format=FORMATS[card.choice(tuple(FORMATS), "data", "format")],
            files=files,
            scored=card.choice(tuple(files), "score", "split"),
            primary=card.choice(tuple(metrics), "score", "primary"),
            metrics=metrics,
            chance=card.choice(CHANCES, "score", "chance"),
            source=card.text("data", "source"),
            licence=card.text("data", "licence"),
            folder=path.parent,
        )


class _Card:
    def __init__(self, path: Path, raw: dict[str, Any]) -> None:
        self.path, self.raw = path, raw

    def _at(self, *keys: str) -> Any:
        value: Any = self.raw
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def text(self, *keys: str) -> str:
        value = self._at(*keys)
        if not isinstance(value, str) or not value:
            found = "nothing" if value is None else repr(value)
            raise InputError(f"{self.path}: {'.'.join(keys)}: found {found}, expected a text")
        return value

    def file(self, *keys: str) -> str:
        """The name of a file below the folder that it is looked for in."""
        value = self.text(*keys)
        if "\0" in value or "\\" in value or Path(value).is_absolute() or ".." in Path(value).parts:
            raise InputError(f"{self.path}: {'.'.join(keys)}: found {value!r}, expected a file below its folder")
        return value

    def table(self, *keys: str) -> dict[str, Any]:
        value = self._at(*keys)
        if not isinstance(value, dict) or not value:
            raise InputError(f"{self.path}: {'.'.join(keys)}: found no table, expected one with at least one entry")
        return value

    def choice(self, known: tuple[T, ...], *keys: str) -> T:
        value = self.text(*keys)
        for name in known:
            if value == name:
                return name
        raise InputError(f"{self.path}: {'.'.join(keys)}: found {value!r}, {one_of(value, known)}")


def task_names() -> list[str]:
    """Names of all tasks, sorted."""
    return sorted(path.parent.name for path in (share() / "tasks").glob("*/task.toml"))


def load_task(name: str) -> Task:
    """The task of that name.

    # Raises
    InputError: there is none; lists what there is.
    """
    if name not in task_names():
        raise InputError(f"tasks: found {name!r}, {any_of(name, task_names())}")
    return Task.from_file(share() / "tasks" / name / "task.toml")
