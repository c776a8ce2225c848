"""How far a sweep is, and how long the rest of it will take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from elmo_mf.experiments.failures import Failure, Failures
from elmo_mf.experiments.leases import Claims
from elmo_mf.records.store import ResultStore
from elmo_mf.tasks.config import Task
from elmo_mf.tasks.grid import Cell
from elmo_mf.tasks.spec import SweepSpec


@dataclass(frozen=True)
class Status:
    """The cells of a sweep by what has become of them.

    `seconds_left` is what the cells that are running or left would take one after another, but for those of the tasks
    in `unknown`, of which nothing tells. `problems` are the files that lie in place of records.
    """

    recorded: list[Cell]
    running: list[tuple[Cell, dict[str, Any]]]
    failed: list[tuple[Cell, Failure]]
    left: list[Cell]
    seconds_left: float
    unknown: list[str]
    problems: dict[Path, str]

    def to_dict(self) -> dict[str, Any]:
        """JSON form; a cell by its name."""
        return {
            "recorded": [str(cell) for cell in self.recorded],
            "running": [{"cell": str(cell), **note} for cell, note in self.running],
            "failed": [
                {"cell": str(cell), "error": failure.error, "log": str(failure.log)} for cell, failure in self.failed
            ],
            "left": [str(cell) for cell in self.left],
            "seconds_left": self.seconds_left,
            "unknown": self.unknown,
            "problems": list(self.problems.values()),
        }


def status_of(spec: SweepSpec, cells: list[Cell], output: Path) -> Status:
    """Look at an output folder; nothing in it is changed."""
    store, claims, failures = ResultStore(output), Claims(output), Failures(output)
    records = store.records()
    ids = {record["id"] for record in records}
    status = Status([], [], [], [], 0.0, [], store.problems)
    for cell in cells:
        if cell.id in ids:
            status.recorded.append(cell)
        elif (note := claims.of(cell)) is not None:
            status.running.append((cell, note))
        elif (failure := failures.of(cell)) is not None:
            status.failed.append((cell, failure))
        else:
            status.left.append(cell)
    seconds, unknown = seconds_of(spec, [cell for cell, _ in status.running] + status.left, records)
    return replace(status, seconds_left=seconds, unknown=unknown)


def seconds_of(spec: SweepSpec, cells: list[Cell], records: Iterable[dict[str, Any]]) -> tuple[float, list[str]]:
    """How long cells will take one after another, from what cells of their tasks took; and the tasks without any.

    A cell takes as long as recorded ones in the same setting did; where there are none, as those of its task in any
    setting, in proportion to training examples and epochs.
    """
    took: dict[str, list[float]] = defaultdict(list)
    rates: dict[str, list[float]] = defaultdict(list)
    for record in records:
        about = record["cell"]
        took[_setting(about)].append(record["seconds"])
        rates[about["task"]].append(record["seconds"] / _work(about, record["examples"]["train"]))
    known: dict[str, float | None] = {}
    for cell in cells:
        setting, task = _setting(cell.identity), cell.task
        if setting in took:
            known[setting] = fmean(took[setting])
        elif setting not in known:
            rate = fmean(rates[task.name]) if task.name in rates else None
            known[setting] = None if rate is None else rate * _work(cell.identity, _examples(spec, task))
    seconds = sum(known[_setting(cell.identity)] or 0.0 for cell in cells)
    return seconds, sorted({cell.task.name for cell in cells if known[_setting(cell.identity)] is None})


@dataclass(frozen=True)
class Cost:
    """What cells ask for at most: trainings, examples that these read, each as often as it is read, and encoders."""

    trainings: int
    examples: int
    encoders: int


def cost_of(spec: SweepSpec, cells: list[Cell]) -> Cost:
    """Language models are trained once a seed; each compression starts there, and is trained again if it is tuned."""
    epochs: dict[tuple[str, object], int] = {}  # of each training, by its task and what is its own
    encoders = set()
    for cell in cells:
        task, language_model = cell.task, cell.task.kind == "language-model"
        epochs[task.name, cell.seed if language_model else cell.id] = _epochs(cell.identity)
        if language_model and cell.finetune is not None:
            epochs[task.name, cell.id] = cell.finetune.epochs
        if cell.compression is not None:
            encoders.add(cell.id if language_model else cell.encoder_id)
    examples = {task.name: _examples(spec, task) for task in {cell.task.name: cell.task for cell in cells}.values()}
    read = sum(examples[task] * count for (task, _), count in epochs.items())
    return Cost(len(epochs), read, len(encoders))


def _setting(identity: dict[str, Any]) -> str:
    """What decides how long a cell takes, but for its encoder; of a language model, what is trained at all too."""
    files = [(file["sha256"], file["limit"]) for file in identity["data"].values()]
    setting = f"{identity['task']} {files} {identity['config'].get('trainer')} {identity['words']}"
    if identity["elmo"] is not None:
        return setting
    compression = identity["compression"]
    return f"{setting} {compression is None} {(compression or identity).get('finetune')}"


def _work(identity: dict[str, Any], examples: int) -> float:
    return max(1, examples) * _epochs(identity)


def _epochs(identity: dict[str, Any]) -> int:
    trainer = identity["config"].get("trainer")
    epochs = trainer.get("num_epochs") if isinstance(trainer, dict) else None
    return max(1, epochs if isinstance(epochs, int) else 1)


def _examples(spec: SweepSpec, task: Task) -> int:
    limit = spec.limit_of(task.name, "train")
    count = len(task.format.read(spec.data_of(task) / task.files["train"]))
    return count if limit is None else min(limit, count)
