"""A sweep's specification, from a sweep file or the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from elmo_mf.compression import Compression, read_compression
from elmo_mf.errors import InputError, any_of
from elmo_mf.paths import expanded
from elmo_mf.resources import demo_options, demo_weights
from elmo_mf.tasks.config import SPLITS, Split, Task, load_task, task_names
from elmo_mf.tasks.jsonnet import PRESETS, evaluate_jsonnet


@dataclass(frozen=True)
class SweepSpec:
    """A sweep, as a sweep file or the command line gives it.

    Attributes:
        tasks: the grid; a target set is written `input+recurrent`, or `all`. All tasks by default, or those of an ELMo
            if one is given.
        methods: the grid; a target set is written `input+recurrent`, or `all`. All tasks by default, or those of an
            ELMo if one is given.
        targets: the grid; a target set is written `input+recurrent`, or `all`. All tasks by default, or those of an
            ELMo if one is given.
        ranks: the grid; a target set is written `input+recurrent`, or `all`. All tasks by default, or those of an ELMo
            if one is given.
        seeds: the grid; a target set is written `input+recurrent`, or `all`. All tasks by default, or those of an ELMo
            if one is given.
        compressions: more compressions than the grid's, each with the keys of `Compression`.
        data: folder with one folder a task; None for each task's demo data.
        options: the ELMo; the embedded one by default.
        weights: the ELMo; the embedded one by default.
        preset: sizes of the tasks' models, `demo` or `paper`.
        glove: word vectors' file of the preset `paper`, or files by task.
        limit: examples a split, one number, or numbers by split, or either by task.
        overrides: by task, values of the AllenNLP config by dotted path.
        latency_sentences: how many examples are timed, and how often each.
        latency_rounds: how many examples are timed, and how often each.
        cache_mb: disk for what runs share, encoders and frozen activations; 0 shares no activations and computes them
            anew each epoch.
    """

    tasks: tuple[str, ...]
    methods: tuple[str, ...] = ("svd",)
    targets: tuple[str, ...] = ("all",)
    ranks: tuple[int, ...] = (4, 16, 32)
    seeds: tuple[int, ...] = (13,)
    compressions: tuple[dict[str, Any], ...] = ()
    data: str | None = None
    options: str = ""
    weights: str = ""
    preset: str = "demo"
    glove: str | dict[str, str] | None = None
    limit: Any = None
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    latency_sentences: int = 16
    latency_rounds: int = 3
    cache_mb: int = 10_000

    @classmethod
    def from_file(cls, path: Path | None, **changes: Any) -> SweepSpec:
        """From a jsonnet file, or from nothing (all tasks), with `changes` that are not None on top.

        Raises:
            InputError: an unknown key or a value that a sweep cannot have.
        """
        raw = {} if path is None else evaluate_jsonnet(path)
        return cls.from_value(raw, "sweep" if path is None else str(path), **changes)

    @classmethod
    def from_value(cls, raw: Any, where: str, **changes: Any) -> SweepSpec:
        """As `from_file`, from the file's value; `where` names it in errors."""
        if not isinstance(raw, dict):
            raise InputError(f"{where}: found no object, expected a sweep's keys")
        raw |= {key: value for key, value in changes.items() if value is not None}
        known_keys(where, raw, tuple(sorted(f.name for f in fields(cls))))
        for key, kind in _LISTS.items():
            if key in raw:
                raw[key] = _list(where, key, raw[key], kind)
        for key, least in (("latency_sentences", 1), ("latency_rounds", 1), ("cache_mb", 0)):
            value = raw.get(key, least)
            if type(value) is not int or value < least:
                raise InputError(f"{where}: {key}: found {value!r}, expected an integer from {least} on")
        for key in ("data", "options", "weights", "preset", "glove"):
            value = raw.get(key)
            texts = list(value.values()) if isinstance(value, dict) and key == "glove" else [value]
            for text in texts if value is not None else []:
                if not isinstance(text, str) or "\0" in text:
                    raise InputError(f"{where}: {key}: found {value!r}, expected a text")
            if isinstance(value, str) and key != "preset":
                raw[key] = expanded(value)
            elif isinstance(value, dict):
                raw[key] = {task: expanded(text) for task, text in value.items()}
        for seed in raw.get("seeds", ()):
            if not 0 <= seed < 1 << 32:
                raise InputError(f"{where}: seeds: found {seed}, expected integers from 0 on, below 2^32")
        overrides = raw.get("overrides", {})
        if not isinstance(overrides, dict) or not all(isinstance(one, dict) for one in overrides.values()):
            raise InputError(f"{where}: overrides: found {overrides!r}, expected an object by task")
        raw.setdefault("tasks", tuple(name for name in task_names() if not raw.get("options") or _has_elmo(name)))
        spec = cls(**raw)
        if bool(spec.options) != bool(spec.weights):
            raise InputError(f"{where}: found only one of options and weights, expected both or neither")
        if spec.preset not in PRESETS:
            raise InputError(f"{where}: preset: found {spec.preset!r}, expected {' or '.join(PRESETS)}")
        return replace(spec, options=spec.options or str(demo_options()), weights=spec.weights or str(demo_weights()))

    def encoders(self) -> Iterator[Compression | None]:
        """The dense encoder, then every combination, then the others."""
        yield None
        for method in self.methods:
            for targets in self.targets:
                for rank in self.ranks:
                    yield read_compression({"method": method, "rank": rank, "targets": targets})
        for keys in self.compressions:
            yield read_compression(keys)

    def limit_of(self, task: str, split: Split) -> int | None:
        """How many examples of a split are used; None for all."""
        limit = self.limit
        if isinstance(limit, dict):
            known_keys("limit", limit, (*task_names(), *SPLITS))
            limit = limit if set(limit) & set(SPLITS) else limit.get(task)
        if isinstance(limit, dict):
            known_keys(f"limit: {task}", limit, SPLITS)
            limit = limit.get(split)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise InputError(f"limit: {task} {split}: found {limit!r}, expected an integer from 1 on")
        return limit

    def glove_of(self, task: str) -> str | None:
        """The word vectors' file of a task."""
        if isinstance(self.glove, dict):
            known_keys("glove", self.glove, tuple(task_names()))
            return self.glove.get(task)
        return self.glove

    def data_of(self, task: Task) -> Path:
        return task.demo_data if self.data is None else Path(self.data) / task.name


_LISTS: dict[str, type] = {
    "tasks": str,
    "methods": str,
    "targets": str,
    "ranks": int,
    "seeds": int,
    "compressions": dict,
}
_KINDS = {int: "integers", str: "texts", dict: "objects"}
_MAY_BE_EMPTY = ("methods", "compressions")


def _has_elmo(task: str) -> bool:
    return load_task(task).kind == "elmo"


def _list(where: str, key: str, value: Any, kind: type) -> tuple[Any, ...]:
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    for item in values:
        if type(item) is not kind:
            raise InputError(f"{where}: {key}: found {item!r}, expected {_KINDS[kind]}")
    if not values and key not in _MAY_BE_EMPTY:
        raise InputError(f"{where}: {key}: found an empty list, expected at least one")
    return tuple(value for index, value in enumerate(values) if value not in values[:index])


def known_keys(where: str, found: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in found:
        if key not in known:
            raise InputError(f"{where}: found the key {key!r}, {any_of(key, known)}")
