"""Task configs: `tasks/<name>/task.toml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from elmo_mf.errors import InputError, any_of, one_of
from elmo_mf.extensions import included_folders, installed_folders
from elmo_mf.io import read_toml
from elmo_mf.io.validation import NOTHING, unexpected, validated, words
from elmo_mf.records.base_model import MetricName
from elmo_mf.records.identity import Scoring, Split
from elmo_mf.records.record import TaskInfo
from elmo_mf.resources import share
from elmo_mf.tasks.formats import FORMATS, DataFormat, LabelledTexts

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Kind = Literal["elmo", "language-model", "probe", "bilm"]
Probed = Literal["text", "pair", "word"]
_PROBED: dict[Probed, tuple[str, ...]] = {
    "text": ("ptb-trees", LabelledTexts.NAME), "pair": ("snli-jsonl",), "word": ("ptb-trees",)
}  # fmt: skip
"""Formats of the data in which a probe finds what it classifies."""

_MOST_BYTES = 100_000
_CLASSIFIER = "jsonnet/text_classification.jsonnet"


def _below(name: str) -> str:
    """Check that a file name stays below its folder."""
    parts = Path(name).parts
    if set(name) & {"\0", "\\"} or Path(name).is_absolute() or ".." in parts or max(map(_size, parts), default=0) > 255:
        raise unexpected("", name, "a file below its folder")
    return name


def _size(name: str) -> int:
    return len(name.encode())


_UNKNOWN = "not stated"
_Text = Annotated[str, Field(min_length=1, max_length=1000)]
_File = Annotated[_Text, AfterValidator(_below)]


class _Table(BaseModel):
    """Table of a task config; unknown keys are ignored and can hold notes."""

    model_config = ConfigDict(strict=True, frozen=True)


class DataConfig(_Table):
    """The table `data`: files by split, their format, and where they come from.

    If `validation` and `test` are one file, its documents are dealt out: the first to validation, the second to test,
    and so on.

    Attributes:
        of: Name of the task whose data it is, if the task has none of its own.
        text: Name of the column of texts, in the format `labelled-texts`.
        label: Name of the column of labels, in the format `labelled-texts`.
        published: Number of examples of each split as the data set is published, so that the leaderboard says where a
            run read fewer. Defaults to None, unknown.
    """

    of: _File | None = None
    format: Literal["ptb-trees", "snli-jsonl", "squad-json", "text-lines", "labelled-texts"]
    train: _File
    validation: _File
    test: _File | None = None
    text: _Text = "text"
    label: _Text = "label"
    source: _Text = _UNKNOWN
    licence: _Text = _UNKNOWN
    published: dict[Split, Annotated[int, Field(gt=0)]] | None = None

    @property
    def files(self) -> dict[Split, str]:
        """File names in a data folder, by split."""
        names: dict[Split, str | None] = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: name for split, name in names.items() if name is not None}


class ScoreConfig(_Table):
    """The table `score`: the split that is scored, AllenNLP's metrics, and the one that the leaderboard ranks by."""

    split: Split
    primary: _Text
    chance: Literal["majority", "random-span", "unigram"]
    metrics: Annotated[dict[MetricName, Literal["higher", "lower"]], Field(min_length=1, max_length=100)]


class ProbeConfig(_Table):
    """The table `probe`: what a probe classifies, by the encoder's frozen vectors.

    Attributes:
        examples: `text`: whole texts, by the mean and maximum of their words' vectors; `pair`: pairs of texts, by the
            means of both, their difference and product; `word`: each word, by its vectors.
    """

    examples: Probed


class TaskConfig(_Table):
    """A task that sweeps train and score: the file `task.toml`, and the folder that it lies in.

    Attributes:
        title: Display title.
        kind: What is compressed: `elmo` for an ELMo inside the task's model, or `language-model` for the core of a
            language model, which is itself the task's model; `probe` for an ELMo whose frozen vectors a logistic
            regression classifies; or `bilm` for an ELMo as the language model that it was pretrained as.
        probe: What a probe classifies; None for other kinds.
        data: Files of the data.
        score: What is scored.
        folder: Folder of the file.
    """

    title: _Text
    kind: Kind = "elmo"
    config_name: _File | None = Field(None, alias="config")
    probe: ProbeConfig | None = None
    data: DataConfig
    score: ScoreConfig
    folder: Path

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, raw: Any) -> Any:
        """Fill in how texts with labels are classified and scored."""
        data = raw.get("data")
        if not isinstance(data, dict) or data.get("format") != LabelledTexts.NAME:
            return raw
        scored = {"split": "test" if "test" in data else "validation", "primary": "accuracy", "chance": "majority"}
        defaults: dict[str, Any] = {"score": {**scored, "metrics": {"accuracy": "higher", "loss": "lower"}}}
        if raw.get("kind", "elmo") == "elmo":
            defaults["config"] = _CLASSIFIER
        return defaults | raw

    @model_validator(mode="after")
    def _check_choices(self) -> TaskConfig:
        for name, value, wanted in (
            ("config", self.config_name, self.kind in ("elmo", "language-model")),
            ("probe", self.probe, self.kind == "probe"),
        ):
            if (value is not None) != wanted:
                expected = f"{'one' if wanted else 'none'} in a task of kind {self.kind}"
                raise unexpected(name, NOTHING if value is None else words("one"), expected)
        if self.probe is not None and self.data.format not in _PROBED[self.probe.examples]:
            expected = f"{' or '.join(_PROBED[self.probe.examples])}, for the probe of a {self.probe.examples}"
            raise unexpected("data.format", self.data.format, expected)
        for name, known in (("split", list(self.data.files)), ("primary", list(self.score.metrics))):
            value = getattr(self.score, name)
            if value not in known:
                raise unexpected(f"score.{name}", value, one_of(value, known).removeprefix("expected "))
        return self

    @property
    def name(self) -> str:
        """Name of the task, that of its folder."""
        return self.folder.name

    @property
    def config(self) -> Path:
        """Jsonnet file of the AllenNLP config, which tasks without a model of their own do not have.

        It lies in the folder of the task, or is one of this project's.
        """
        assert self.config_name is not None
        in_folder = self.folder / self.config_name
        return in_folder if in_folder.exists() else share() / self.config_name

    @property
    def format(self) -> DataFormat:
        """Format of the data files."""
        if self.data.format == LabelledTexts.NAME:
            return LabelledTexts(**self.columns)
        return FORMATS[self.data.format]

    @property
    def columns(self) -> dict[str, str]:
        """Names of the columns `text` and `label` of the data; none in formats without columns."""
        return {"text": self.data.text, "label": self.data.label} if self.data.format == LabelledTexts.NAME else {}

    @property
    def files(self) -> dict[Split, str]:
        """File names in a data folder, by split."""
        return self.data.files

    @property
    def shares_file(self) -> bool:
        """Whether the documents of one file are dealt out to the splits `validation` and `test`."""
        return self.files["validation"] == self.files.get("test")

    @property
    def run_files(self) -> dict[Split, str]:
        """File names in the data folder of a run, by split; see `_run_data.limited_data`."""
        if not self.shares_file:
            return self.files
        return self.files | {"test": f"test{Path(self.files['test']).suffix}"}

    @property
    def scoring(self) -> Scoring:
        """The part of the task config that scores depend on."""
        return Scoring(
            format=self.data.format, split=self.score.split, primary=self.score.primary,
            metrics=dict(self.score.metrics), chance=self.score.chance,
        )  # fmt: skip

    @property
    def info(self) -> TaskInfo:
        """Description of the task for the leaderboard."""
        data = self.data
        return TaskInfo(title=self.title, source=data.source, licence=data.licence, published=data.published)

    @property
    def data_name(self) -> str:
        """Name of the task's folder of data."""
        return self.data.of or self.name

    @property
    def demo_data(self) -> Path:
        """Folder of the data that is read unless another is named: `demo` in the task's folder, or that itself."""
        return self._with_data / "demo" if self.has_demo else self._with_data

    @property
    def has_demo(self) -> bool:
        """Whether `demo_data` are only a demonstration, rather than the data of a user's task."""
        return (self._with_data / "demo").is_dir()

    @property
    def _with_data(self) -> Path:
        return self.folder if self.data.of is None else _folder(self.data.of)

    @classmethod
    def from_file(cls, path: Path) -> TaskConfig:
        """Read a task config.

        Raises:
            InputError: The file is missing or not TOML, or a field is missing or invalid.
        """
        raw = read_toml(path, "task config", "a task config, in TOML", most=_MOST_BYTES)
        return validated(cls, raw | {"folder": path.parent}, str(path))


def task_names() -> list[str]:
    """Return the names of all tasks, sorted.

    Raises:
        InputError: Two tasks have one name.
    """
    return sorted(_folders())


def _folders() -> dict[str, Path]:
    """Return the folder of each task: of this package, of entry points, and of what was included."""
    folders: dict[str, Path] = {}
    for config in _configs():
        if config.parent != folders.setdefault(config.parent.name, config.parent):
            found = f"found the name of the task in {folders[config.parent.name]}"
            raise InputError(config, f"{found}, expected another name for the folder")
    return folders


def _configs() -> Iterator[Path]:
    yield from (share() / "tasks").glob("*/task.toml")
    for folder in dict.fromkeys([*installed_folders("elmo_mf.tasks"), *included_folders()]):
        yield from (*folder.glob("task.toml"), *folder.glob("*/task.toml"))


def _folder(name: str) -> Path:
    folders = _folders()
    if name not in folders:
        raise InputError("tasks", f"found {name!r}, {any_of(name, sorted(folders))}")
    return folders[name]


def load_task(name: str) -> TaskConfig:
    """Load a task by name.

    Raises:
        InputError: The task is unknown; the message lists the known ones.
    """
    return TaskConfig.from_file(_folder(name) / "task.toml")
