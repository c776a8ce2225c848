"""Sweeps that take seconds: a tiny ELMo, few examples and two epochs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.experiments import MeasuredT, Outcome, View, Work, run_sweep
from elmo_mf.experiments.executors import LocalExecutor
from elmo_mf.records import Measurements, Record, RecordStore, Run
from elmo_mf.tasks import PRELOAD, SweepSpec, TaskWork, expand, task_names
from tests.conftest import random_bilm, small_data

TinySweep = Callable[..., SweepSpec]
SweepView = View[Run, Record]
SweepOutcome = Outcome[Run, Record]


def run_here(
    spec: SweepSpec,
    output: Path,
    workers: int = 1,
    view: SweepView | None = None,
    work: Work[Measurements] | None = None,
    **options: Any,
) -> list[SweepOutcome]:
    """Execute a sweep in single-threaded processes, so that results do not depend on the number of workers."""
    executor = executor_here(work or TaskWork(spec), output, workers)
    return run_sweep(expand(spec), output, executor, RecordStore(output), view, **options)


def executor_here(work: Work[MeasuredT], output: Path, workers: int = 1) -> LocalExecutor[Run, MeasuredT]:
    """Return an executor with the same server of processes as in the other tests."""
    return LocalExecutor(work, output, workers, 1, PRELOAD)


def records_here(spec: SweepSpec, output: Path, **how: Any) -> list[dict[str, Any]]:
    """Execute a sweep in which no run fails and return its records as JSON values, in the order of the runs."""
    outcomes = {outcome.run.id: outcome for outcome in run_here(spec, output, **how)}
    assert [outcome.error for outcome in outcomes.values()] == [""] * len(outcomes)
    records = [outcomes[run.id].record for run in expand(spec)]
    return [record.to_dict() for record in records if record is not None]


@pytest.fixture
def tiny_sweep(tmp_path: Path) -> TinySweep:
    """Provide a function that returns a small sweep without times; keyword arguments replace its fields."""
    return tiny_sweep_in(tmp_path)


def tiny_sweep_in(folder: Path) -> TinySweep:
    """Return the same function as the fixture `tiny_sweep`, with the sweep's ELMo and data in a folder."""
    random_bilm().save(folder / "elmo")
    for task in task_names():
        small_data(task, folder / "data" / task, 40)

    def make(**keys: Any) -> SweepSpec:
        defaults: dict[str, Any] = {
            "tasks": ["sst"],
            "targets": ["input+recurrent"],
            "ranks": [2],
            "data": str(folder / "data"),
            "options": str(folder / "elmo" / "options.json"),
            "weights": str(folder / "elmo" / "weights.hdf5"),
            "overrides": {task: {"trainer.num_epochs": 2} for task in task_names()},
            "latency_sentences": 0,
            "latency_rounds": 1,
        }
        return SweepSpec.from_file(None, **(defaults | keys))

    return make
