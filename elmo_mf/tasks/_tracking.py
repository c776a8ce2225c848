"""A sweep's records in an experiment tracker."""

from __future__ import annotations

import json
from pathlib import Path

from elmo_mf.experiments import Outcome, Progress, View
from elmo_mf.io.locks import holding
from elmo_mf.records import Record, Run
from elmo_mf.records.labels import encoder_facts, encoder_label, leaves, run_name
from elmo_mf.trackers import Parameter, TrackedRun, Tracker, as_parameters


class TrackedRecords(View[Run, Record]):
    """Shows a sweep in another view, and logs its records to a tracker, each once.

    Args:
        view: The other view.
        tracker: The tracker.
        output: The output folder of the sweep, which other sweeps may use at the same time.
    """

    def __init__(self, view: View[Run, Record], tracker: Tracker, output: Path) -> None:
        self._view, self._tracker, self._output = view, tracker, output

    def started(self, run: Run) -> None:
        """See `View.started`."""
        self._view.started(run)

    def progress(self, run: Run, progress: Progress) -> None:
        """See `View.progress`."""
        self._view.progress(run, progress)

    def done(self, outcome: Outcome[Run, Record]) -> None:
        """See `View.done`."""
        self._view.done(outcome)
        if outcome.record is not None:
            self.log(outcome.record)

    def log(self, record: Record) -> None:
        """Log a record, unless it is logged already."""
        run = TrackedRun(run_name(record.run, record.id), record.id, parameters(record))
        with holding(self._output / "running" / ".tracker"):
            if not self._tracker.has(run):
                log = self._tracker.start(run, 0)
                log.metrics(metrics(record), 0)
                log.finish()


def parameters(record: Record) -> dict[str, Parameter]:
    """Return what a run was given: task, seed, and how the encoder was compressed."""
    run = record.run
    named = {"task": run.task, "view": run.view, "seed": run.seed, "encoder": encoder_label(run), "data": record.data}
    facts = {name: json.loads(value) for name, value in encoder_facts(run).items()}
    return as_parameters({**named, **facts, "baseline": run.baseline, "precision": run.precision})


def metrics(record: Record) -> dict[str, float]:
    """Return the scores, sizes and times of a run, by names such as `scores/accuracy`."""
    parts = {"scores", "validation", "activation_error", "size", "latency", "seconds", "factorization_seconds"}
    values = leaves(record.model_dump(mode="json", include=parts, exclude_none=True))
    numbers = {name.replace(".", "/"): json.loads(value) for name, value in values}
    return {name: float(value) for name, value in numbers.items() if isinstance(value, int | float)}
