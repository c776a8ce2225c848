"""Status of a sweep: the states of its runs, the remaining time and the cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from elmo_mf.experiments import Failure, Failures, Heartbeat, Leases
from elmo_mf.progress import track
from elmo_mf.records import Record, RecordStore, Run, RunIdentity
from elmo_mf.tasks.formats import Example
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import load_task


@dataclass(frozen=True)
class Status:
    """The runs of a sweep by state.

    Attributes:
        recorded: Runs with a record.
        running: Runs in progress, with the latest heartbeat.
        failed: Failed runs.
        left: All other runs.
        seconds_left: Estimated time that the runs in progress and the remaining ones take one after another, except
            those of the tasks in `unknown`.
        unknown: Tasks without a basis for an estimate.
        problems: Errors of files that are not valid records, by path.
    """

    recorded: list[Run]
    running: list[tuple[Run, Heartbeat]]
    failed: list[tuple[Run, Failure]]
    left: list[Run]
    seconds_left: float
    unknown: list[str]
    problems: dict[Path, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the status as JSON values, with runs as labels."""
        return {
            "recorded": [str(run) for run in self.recorded],
            "running": [
                {"run": str(run), **heartbeat.model_dump(exclude_unset=True)} for run, heartbeat in self.running
            ],
            "failed": [
                {"run": str(run), "error": failure.error, "log": str(failure.log)} for run, failure in self.failed
            ],
            "left": [str(run) for run in self.left],
            "seconds_left": self.seconds_left,
            "unknown": self.unknown,
            "problems": list(self.problems.values()),
        }


def status_of(spec: SweepSpec, runs: list[Run], output: Path) -> Status:
    """Return the status of a sweep in an output folder, without changing anything there.

    Args:
        spec: The sweep.
        runs: Its runs.
        output: The output folder.
    """
    store, leases, failures = RecordStore(output), Leases(output), Failures(output)
    records = store.records()
    ids = {record.id for record in records}
    status = Status([], [], [], [], 0.0, [], store.problems)
    for run in runs:
        if run.id in ids:
            status.recorded.append(run)
        elif (heartbeat := leases.of(run)) is not None:
            status.running.append((run, heartbeat))
        elif (failure := failures.of(run)) is not None:
            status.failed.append((run, failure))
        else:
            status.left.append(run)
    seconds, unknown = seconds_of(spec, [run for run, _ in status.running] + status.left, records)
    return replace(status, seconds_left=seconds, unknown=unknown)


def seconds_of(spec: SweepSpec, runs: list[Run], records: Iterable[Record]) -> tuple[float, list[str]]:
    """Estimate the time that runs take one after another from the times of recorded runs.

    A run's estimate is the mean of recorded runs with the same settings. If there are none, it is derived from all
    recorded runs of its task, in proportion to training examples and epochs.

    Args:
        spec: The sweep.
        runs: The runs.
        records: Records of any runs.

    Returns:
        The seconds, and the tasks without recorded runs, which are not included.
    """
    took: dict[str, list[float]] = defaultdict(list)
    rates: dict[str, list[float]] = defaultdict(list)
    for record in records:
        took[_setting(record.run)].append(record.seconds)
        rates[record.run.task].append(record.seconds / _work(record.run, record.examples.train))
    known: dict[str, float | None] = {}
    for run in runs:
        setting = _setting(run.identity)
        if setting in took:
            known[setting] = fmean(took[setting])
        elif setting not in known:
            rate = fmean(rates[run.task]) if run.task in rates else None
            known[setting] = None if rate is None else rate * _work(run.identity, _examples(spec, run.task))
    seconds = sum(known[_setting(run.identity)] or 0.0 for run in runs)
    return seconds, sorted({run.task for run in runs if known[_setting(run.identity)] is None})


@dataclass(frozen=True)
class Cost:
    """Upper bound of the work of runs.

    Attributes:
        trainings: Number of trainings.
        examples: Number of examples that the trainings read, summed over epochs.
        encoders: Number of compressed encoders.
    """

    trainings: int
    examples: int
    encoders: int


def cost_of(spec: SweepSpec, runs: list[Run]) -> Cost:
    """Return the cost of runs.

    A language model is trained once per seed, and once more for each fine-tuned run; a task's model with an ELMo once
    for each run of the view `retrained`, once per seed for the other views, and once more for each run that is `tuned`.
    Probes, and ELMos as language models, train no model.
    """
    epochs: dict[tuple[str, object], int] = {}  # of each training, by task and seed or run id
    encoders = set()
    for run in runs:
        if run.identity.trains_model:
            shared = run.is_language_model or run.identity.view != "retrained"
            epochs[run.task, run.seed if shared else run.id] = _epochs(run.identity)
        if run.identity.view == "tuned":
            epochs[run.task, run.id] = 1
        if run.is_language_model and run.finetune is not None:
            epochs[run.task, run.id] = run.finetune.epochs
        if run.compression is not None:
            encoders.add(run.id if run.is_language_model else run.encoder_id)
    of_tasks = {run.task: run for run in runs}.values()
    examples = {run.task: _examples_read(spec, run) for run in track(of_tasks, "number of examples", "tasks")}
    read = sum(examples[task] * count for (task, _), count in epochs.items())
    return Cost(len(epochs), read, len(encoders))


def _setting(identity: RunIdentity) -> str:
    """Return a key that runs with similar times share."""
    setting = f"{identity.task} {identity.data} {identity.config.get('trainer')} {identity.words}"
    if not identity.is_language_model:
        return f"{setting} {identity.view} {identity.baseline}"
    return f"{setting} {identity.compression is None} {identity.tuning}"


def _work(identity: RunIdentity, examples: int) -> float:
    return max(1, examples) * _epochs(identity)


def _epochs(identity: RunIdentity) -> int:
    trainer = identity.config.get("trainer")
    epochs = trainer.get("num_epochs") if isinstance(trainer, dict) else None
    return max(1, epochs if isinstance(epochs, int) else 1)


def _examples(spec: SweepSpec, name: str) -> int:
    return len(_training_examples(spec, name))


def _examples_read(spec: SweepSpec, run: Run) -> int:
    """Return the number of examples of an epoch, which of trees may include their phrases."""
    reader = run.identity.config.get("dataset_reader")
    if not isinstance(reader, dict) or reader.get("type") != "sst_phrases":
        return _examples(spec, run.task)
    from elmo_mf.sentiment_trees import phrases

    least = reader.get("min_words", 1)
    assert isinstance(least, int)
    return sum(1 for _ in phrases((tree.raw for tree in _training_examples(spec, run.task)), least))


def _training_examples(spec: SweepSpec, name: str) -> list[Example]:
    task, limit = load_task(name), spec.limit_of(name, "train")
    examples = task.format.read(spec.data_of(task) / task.files["train"])
    return examples if limit is None else task.format.chosen(examples, min(limit, len(examples)))
