"""Specification of a sweep, from a sweep file or the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from elmo_mf.bilm.checkpoint_files import CheckpointFiles, files_in_folder
from elmo_mf.compression import read_compression
from elmo_mf.errors import InputError, any_of, shown
from elmo_mf.extensions import include
from elmo_mf.io import is_folder, is_regular
from elmo_mf.io.paths import expanded
from elmo_mf.io.validation import unexpected, validated, words
from elmo_mf.records import Compression
from elmo_mf.records.base_model import MOST_INT
from elmo_mf.records.identity import Baseline, Precision, Split, View
from elmo_mf.resources import demo_options, demo_weights, embedded
from elmo_mf.tasks._jsonnet import evaluate_jsonnet
from elmo_mf.tasks.task_config import SPLITS, TaskConfig, load_task, task_names


def _include(names: Iterable[Any], *place: str) -> None:
    """Include methods and tasks; names of other types are rejected when the keys are validated."""
    try:
        include(name for name in names if isinstance(name, str | Path))
    except InputError as error:
        raise InputError(*place, error) from None


def _listed(value: object) -> tuple[Any, ...]:
    """Convert a list or a single value to a tuple."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _not_empty(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise unexpected("", words("an empty list"), "at least one")
    return values


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    try:
        return tuple(dict.fromkeys(values))
    except TypeError:  # objects
        return tuple(value for index, value in enumerate(values) if value not in values[:index])


def _known_keys(table: Mapping[str, Any], known: tuple[str, ...], field: str = "") -> None:
    for key in table:
        if key not in known:
            raise unexpected(field, words(f"the key {key!r}"), any_of(key, known).removeprefix("expected "))


def _by_task(table: dict[str, Any]) -> dict[str, Any]:
    _known_keys(table, tuple(task_names()))
    return table


def _check_path(text: str) -> str:
    if "\0" in text:
        raise unexpected("", text, "a path")
    return embedded(expanded(text))


def _check_folder(path: str) -> str:
    if is_regular(path):  # it may be missing until its files are downloaded
        raise unexpected("", words(f"the file {path}"), "a folder")
    return path


def _check_file(path: str) -> str:
    if is_folder(path):
        raise unexpected("", words(f"the folder {path}"), "a file")
    return path


def _check_limit(limit: object) -> object:
    """Check a limit: a number, numbers by split, or either by task."""
    if not isinstance(limit, dict):
        _check_count("", limit)
        return limit
    _known_keys(limit, (*task_names(), *SPLITS))
    by_split = bool(set(limit) & set(SPLITS))
    for key, value in limit.items():
        if by_split or not isinstance(value, dict):
            _check_count(key, value)
        else:
            _known_keys(value, SPLITS, key)
            for split, count in value.items():
                _check_count(f"{key}.{split}", count)
    if by_split:
        _known_keys(limit, SPLITS)
    return limit


def _check_count(field: str, count: object) -> None:
    if count is not None and (type(count) is not int or count < 1):
        raise unexpected(field, count, "a positive integer")
    if count is not None and count > MOST_INT:
        raise unexpected(field, count, f"at most {MOST_INT}")


def _files_in(options: str) -> dict[str, str]:
    folder = Path(_check_path(options))
    if not folder.is_dir():
        raise unexpected("options", options, "a folder with options and weights, or both files")
    files = files_in_folder(folder)
    return {"options": str(files.options), "weights": str(files.weights)}


_Path: TypeAlias = Annotated[str, AfterValidator(_check_path)]
_Folder: TypeAlias = Annotated[_Path, AfterValidator(_check_folder)]
_File: TypeAlias = Annotated[_Path, AfterValidator(_check_file)]
_Seed: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 32)]
_Texts: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_each_once)]
_Integers: TypeAlias = Annotated[
    tuple[int, ...], BeforeValidator(_listed), AfterValidator(_not_empty), AfterValidator(_each_once)
]
_Compressions: TypeAlias = Annotated[tuple[Compression, ...], BeforeValidator(_listed), AfterValidator(_each_once)]
_Limit: TypeAlias = Annotated[Any, AfterValidator(_check_limit)]


class SweepSpec(BaseModel):
    """Specification of a sweep: the grid of its runs, their data and models.

    A list may be given as a single value. All fields have defaults.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    include: Annotated[tuple[_Path, ...], BeforeValidator(_listed), AfterValidator(_each_once)] = ()
    """Python files, folders and modules with methods and tasks from outside this package, see
    `elmo_mf.extensions.include`."""
    tasks: Annotated[_Texts, AfterValidator(_not_empty)]
    """Names of tasks; default: all tasks that train a model; with `options`, only those that use an ELMo."""
    methods: _Texts = ("svd",)
    """Factorization methods of the grid; may be empty."""
    targets: Annotated[_Texts, AfterValidator(_not_empty)] = ("all",)
    """Target sets of the grid, such as `input+recurrent`, or `all`."""
    ranks: _Integers = (4, 16, 32)
    """Ranks of the grid."""
    seeds: Annotated[
        tuple[_Seed, ...], BeforeValidator(_listed), AfterValidator(_not_empty), AfterValidator(_each_once)
    ] = (13,)
    """Seeds of the grid, below 2^32."""
    compressions: _Compressions = ()
    """Compressions in addition to the grid's."""
    views: Annotated[
        tuple[View, ...], BeforeValidator(_listed), AfterValidator(_not_empty), AfterValidator(_each_once)
    ] = ("retrained",)
    """How compressed ELMos are combined with the tasks' models, see `elmo_mf.records.identity.View`."""
    baselines: Annotated[tuple[Baseline, ...], BeforeValidator(_listed), AfterValidator(_each_once)] = ()
    """Baselines in place of an ELMo, for comparison; see `elmo_mf.records.identity.Baseline`."""
    smaller: _Folder | None = None
    """Folder of the ELMo of the baseline `smaller`, such as `elmo-mf pretrain` writes."""
    precisions: Annotated[tuple[Precision, ...], BeforeValidator(_listed), AfterValidator(_each_once)] = ()
    """Precisions of the dense ELMo in addition to float32."""
    compressed_precisions: Annotated[tuple[Precision, ...], BeforeValidator(_listed), AfterValidator(_each_once)] = ()
    """Precisions of the compressed ELMos in addition to float32; `int8` and `int4` round their factors.
    If a budget counts the bytes of another type, the precision is that of this type instead."""
    data: _Folder | None = None
    """Folder with one folder per task; by default each task's demo data."""
    options: _Path
    """options.json of the ELMo, or without `weights` a folder with both; by default that of the embedded one."""
    weights: _Path
    """Weights of the ELMo; by default those of the embedded one."""
    preset: Literal["demo", "board", "paper"] = "demo"
    """Sizes of the tasks' models; all except `demo` use word vectors."""
    glove: _File | Annotated[dict[str, _File], AfterValidator(_by_task)] | None = None
    """File of word vectors for the presets `board` and `paper`, or files by task."""
    limit: _Limit = None
    """Examples used of each split: a number, numbers by split, or either by task."""
    overrides: Annotated[dict[str, dict[str, Any]], AfterValidator(_by_task)] = Field(default_factory=dict)
    """By task, values in the AllenNLP config by dotted path."""
    latency_sentences: Annotated[int, Field(ge=0)] = 16
    """Number of examples that are timed; 0 measures no times."""
    latency_rounds: Annotated[int, Field(ge=1)] = 3
    """How often each of them is timed."""
    cache_mb: Annotated[int, Field(ge=0)] = 10_000
    """Disk space in MB for encoders and frozen activations that runs share; 0 shares no activations."""

    @model_validator(mode="after")
    def _check_smaller(self) -> SweepSpec:
        if (self.smaller is not None) != ("smaller" in self.baselines):
            found = words("none") if self.smaller is None else self.smaller
            raise unexpected("smaller", found, "a folder if baselines has smaller, and none otherwise")
        return self

    @classmethod
    def from_file(cls, path: Path | None, **changes: Any) -> SweepSpec:
        """Read a sweep file.

        Args:
            path: A jsonnet file; None for the defaults.
            **changes: Values that replace the file's unless they are None; those of `include` are added to it.

        Returns:
            The specification.

        Raises:
            InputError: A key is unknown or a value is invalid.
        """
        raw = {} if path is None else evaluate_jsonnet(path)
        return cls.from_value(raw, "sweep" if path is None else str(path), **changes)

    @classmethod
    def from_value(cls, raw: Any, where: str, **changes: Any) -> SweepSpec:
        """Validate the value of a sweep file; see `from_file`.

        Args:
            raw: The value.
            where: Origin of the value, for error messages.
            **changes: See `from_file`.

        Returns:
            The specification.

        Raises:
            InputError: A key is unknown or a value is invalid.
        """
        if not isinstance(raw, dict):
            raise InputError(where, f"found {shown(raw)}, expected an object with a sweep's keys")
        _include(_listed(raw.get("include", ())), where)  # before the names of tasks are checked
        _include(changes.get("include") or ())
        if "include" in raw:
            changes["include"] = [*_listed(raw["include"]), *(changes.get("include") or ())]
        return validated(cls, raw | {key: value for key, value in changes.items() if value is not None}, where)

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, raw: Any) -> Any:
        """Fill in the embedded ELMo and the tasks that the sweep's ELMo can be used for."""
        filled = {
            key: value for key, value in raw.items() if key not in ("options", "weights") or value not in (None, "")
        }
        given = {"options", "weights"} & set(filled)
        if given == {"options"} and isinstance(filled["options"], str):
            filled |= _files_in(filled["options"])
        elif len(given) == 1:
            raise unexpected("", words("only one of options and weights"), "both or neither")
        if "tasks" not in filled:
            kinds = ("elmo",) if given else ("elmo", "language-model")
            filled["tasks"] = tuple(name for name in task_names() if load_task(name).kind in kinds)
        return {"options": str(demo_options()), "weights": str(demo_weights())} | filled

    def encoders(self) -> Iterator[Compression | None]:
        """Yield the dense encoder (None), then the compressions of the grid, then the others.

        Raises:
            InputError: A compression is invalid.
        """
        yield None
        for method in self.methods:
            for targets in self.targets:
                for rank in self.ranks:
                    yield read_compression({"method": method, "rank": rank, "targets": targets})
        for compression in self.compressions:
            yield read_compression(compression)  # the method may be unknown

    def smaller_files(self) -> CheckpointFiles:
        """Return the files of the smaller ELMo.

        Raises:
            InputError: They are not in its folder.
        """
        assert self.smaller is not None
        return files_in_folder(Path(self.smaller))

    def limit_of(self, task: str, split: Split) -> int | None:
        """Return the number of examples of a split that are used; None for all.

        Args:
            task: Name of the task.
            split: The split.
        """
        limit: Any = self.limit
        if isinstance(limit, dict):
            limit = limit if set(limit) & set(SPLITS) else limit.get(task)
        if isinstance(limit, dict):
            limit = limit.get(split)
        assert limit is None or isinstance(limit, int)
        return limit

    def glove_of(self, task: str) -> str | None:
        """Return the file of word vectors of a task; None if there is none."""
        return self.glove.get(task) if isinstance(self.glove, dict) else self.glove

    def data_of(self, task: TaskConfig) -> Path:
        """Return the data folder of a task."""
        return task.demo_data if self.data is None else Path(self.data) / task.data_name

    def is_demo(self, task: TaskConfig) -> bool:
        """Return whether a task's data are only a demonstration."""
        return self.data is None and task.has_demo
