"""Measurements of a run of any task, or its times alone, which need no training."""

from __future__ import annotations

import time

from elmo_mf.experiments.bundle import last_names
from elmo_mf.experiments.workspace import Workspace
from elmo_mf.provenance import provenance
from elmo_mf.records.record import Measurements, Retimed, measured
from elmo_mf.records.run import Run
from elmo_mf.tasks.grid import same_form
from elmo_mf.tasks.producers import producer_of
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import load_task


def execute(spec: SweepSpec, run: Run, workspace: Workspace) -> Measurements:
    """Execute a run and return its measurements.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
    """
    started, task = time.perf_counter(), load_task(run.task)
    measurements, outputs, device = producer_of(task, run.identity.baseline).measure(spec, run, workspace)
    values = {
        "task": task.info.to_dict(),
        **measurements,
        "data": "demo" if spec.data is None else last_names(spec.data, 1),
        "seconds": max(0.1, round(time.perf_counter() - started, 1)),
        "phases": workspace.phases,
        **provenance(device),
    }
    validated = measured(Measurements, values)
    return validated if outputs is None else validated.with_outputs(outputs)


def measure_times(spec: SweepSpec, run: Run, workspace: Workspace) -> Retimed:
    """Measure only the times of a run.

    Nothing is trained except what the ranks within a budget depend on, because times do not depend on values.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
    """
    producer = producer_of(load_task(run.task), run.identity.baseline)
    assert producer.time is not None  # records without times are not timed again
    times, device = producer.time(spec, same_form(run), workspace)
    return measured(Retimed, {"latency": times, "timed": provenance(device)})
