"""Task cards: `tasks/<name>/task.toml`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from elmo_mf.errors import InputError, any_of, one_of, shown
from elmo_mf.io import read_toml
from elmo_mf.records.data import MetricName
from elmo_mf.records.identity import Scoring, Split
from elmo_mf.records.record import TaskInfo
from elmo_mf.resources import share
from elmo_mf.tasks.formats import FORMATS, DataFormat

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Kind = Literal["elmo", "language-model"]


_MOST_BYTES = 100_000


def _below(name: str) -> str:
    """The name of a file below the folder that it is looked for in."""
    parts = Path(name).parts
    if set(name) & {"\0", "\\"} or Path(name).is_absolute() or ".." in parts or max(map(_size, parts), default=0) > 255:
        raise PydanticCustomError("file", "a file below its folder")
    return name


def _size(name: str) -> int:
    return len(name.encode())


_Text = Annotated[str, Field(min_length=1, max_length=1000)]
_File = Annotated[_Text, AfterValidator(_below)]


class _Table(BaseModel):
    """Of a card; keys that are not known say something to people."""

    model_config = ConfigDict(strict=True, frozen=True)


class _Data(_Table):
    format: Literal["ptb-trees", "snli-jsonl", "squad-json", "text-lines"]
    train: _File
    validation: _File
    test: _File | None = None
    source: _Text
    licence: _Text


class _Score(_Table):
    split: Split
    primary: _Text
    chance: Literal["majority", "random-span", "unigram"]
    metrics: Annotated[dict[MetricName, Literal["higher", "lower"]], Field(min_length=1, max_length=100)]


class _Card(_Table):
    title: _Text
    kind: Kind = "elmo"
    config: _File
    data: _Data
    score: _Score


def _checked(path: Path, raw: dict[str, Any]) -> _Card:
    try:
        return _Card.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    where = ".".join(str(key) for key in first["loc"] if key != "[key]")
    found = "nothing" if first["type"] == "missing" else shown(first["input"])
    if first["type"] in ("dict_type", "model_type", "too_short") or where in ("data", "score", "score.metrics"):
        raise InputError(f"{path}: {where}: found no table, expected one with at least one entry")
    if first["type"] == "literal_error":
        known = [name.strip("'") for name in first["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        raise InputError(f"{path}: {where}: found {found}, {one_of(first['input'], known)}")
    expected = {"missing": "a text", "string_type": "a text", "string_too_short": "a text"}
    raise InputError(f"{path}: {where}: found {found}, expected {expected.get(first['type'], first['msg'])}")


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
    metrics: dict[str, Literal["higher", "lower"]]
    chance: str
    source: str
    licence: str
    folder: Path

    @property
    def scoring(self) -> Scoring:
        """The part of the config that a score depends on."""
        return Scoring(
            format=self.format.NAME, split=self.scored, primary=self.primary, metrics=self.metrics, chance=self.chance
        )

    @property
    def info(self) -> TaskInfo:
        """What the leaderboard says of the task."""
        return TaskInfo(title=self.title, source=self.source, licence=self.licence)

    @property
    def demo_data(self) -> Path:
        return self.folder / "demo"

    @classmethod
    def from_file(cls, path: Path) -> Task:
        """Read a card.

        Raises:
            InputError: the file is missing, not TOML, or a field is missing or impossible.
        """
        card = _checked(path, read_toml(path, "task card", "a task card, in TOML", most=_MOST_BYTES))
        named = {"train": card.data.train, "validation": card.data.validation, "test": card.data.test}
        files = {split: name for split in SPLITS if (name := named[split]) is not None}
        for field, found, known in (
            ("split", card.score.split, list(files)),
            ("primary", card.score.primary, list(card.score.metrics)),
        ):
            if found not in known:
                raise InputError(f"{path}: score.{field}: found {found!r}, {one_of(found, known)}")
        return cls(
            name=path.parent.name,
            title=card.title,
            kind=card.kind,
            config=path.parent.parent.parent / card.config,
            format=FORMATS[card.data.format],
            files=files,
            scored=card.score.split,
            primary=card.score.primary,
            metrics=dict(card.score.metrics),
            chance=card.score.chance,
            source=card.data.source,
            licence=card.data.licence,
            folder=path.parent,
        )


def task_names() -> list[str]:
    """Names of all tasks, sorted."""
    return sorted(path.parent.name for path in (share() / "tasks").glob("*/task.toml"))


def load_task(name: str) -> Task:
    """The task of that name.

    Raises:
        InputError: there is none; lists what there is.
    """
    if name not in task_names():
        raise InputError(f"tasks: found {name!r}, {any_of(name, task_names())}")
    return Task.from_file(share() / "tasks" / name / "task.toml")
