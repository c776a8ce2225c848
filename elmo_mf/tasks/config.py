"""Task configs: `tasks/<name>/task.toml`."""

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
    """Check that a file name stays below its folder."""
    parts = Path(name).parts
    if set(name) & {"\0", "\\"} or Path(name).is_absolute() or ".." in parts or max(map(_size, parts), default=0) > 255:
        raise PydanticCustomError("file", "a file below its folder")
    return name


def _size(name: str) -> int:
    return len(name.encode())


_Text = Annotated[str, Field(min_length=1, max_length=1000)]
_File = Annotated[_Text, AfterValidator(_below)]


class _Table(BaseModel):
    """Table of a task config; unknown keys are ignored and can hold notes."""

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
    """A task that sweeps train and score.

    Attributes:
        name: Name of the task's folder.
        title: Display title.
        kind: What is compressed: `elmo` for an ELMo inside the task's model, or `language-model` for the core of a
            language model, which is itself the task's model.
        config: Jsonnet file of the AllenNLP config.
        format: Format of the data files.
        files: File names in a data folder, by split.
        scored: The split that is scored.
        primary: The metric that the leaderboard ranks by.
        metrics: Which values are better, `higher` or `lower`, by AllenNLP's metric name.
        chance: Name of the chance score in `CHANCES`.
        source: Origin of the data.
        licence: Licence of the data.
        folder: Folder of the task config.
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
        """The part of the task config that scores depend on."""
        return Scoring(
            format=self.format.NAME, split=self.scored, primary=self.primary, metrics=self.metrics, chance=self.chance
        )

    @property
    def info(self) -> TaskInfo:
        """Description of the task for the leaderboard."""
        return TaskInfo(title=self.title, source=self.source, licence=self.licence)

    @property
    def demo_data(self) -> Path:
        return self.folder / "demo"

    @classmethod
    def from_file(cls, path: Path) -> Task:
        """Read a task config.

        Raises:
            InputError: The file is missing or not TOML, or a field is missing or invalid.
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
    """Return the names of all tasks, sorted."""
    return sorted(path.parent.name for path in (share() / "tasks").glob("*/task.toml"))


def load_task(name: str) -> Task:
    """Load a task by name.

    Raises:
        InputError: The task is unknown; the message lists the known ones.
    """
    if name not in task_names():
        raise InputError(f"tasks: found {name!r}, {any_of(name, task_names())}")
    return Task.from_file(share() / "tasks" / name / "task.toml")
