"""Measurements of a run of any task, or its times alone, which need no training."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import fields

from elmo_mf.experiments import Workspace, last_names
from elmo_mf.io.validation import validated
from elmo_mf.provenance import provenance
from elmo_mf.records.record import Measurements, Retimed
from elmo_mf.records.run import Run
from elmo_mf.tasks._producer import Measured, MeasuredEncoder
from elmo_mf.tasks._producers import producer_of
from elmo_mf.tasks.grid import same_form
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
    measured = producer_of(task, run.identity.baseline).measure(spec, run, workspace)
    ran_on = provenance(measured.device)
    values = {
        "task": task.info,
        **_fields(measured, without=("encoder", "outputs", "device")),
        **_fields(measured.encoder),
        "data": "demo" if spec.is_demo(task) else last_names(spec.data or str(task.demo_data), 1),
        "seconds": max(0.1, round(time.perf_counter() - started, 1)),
        "phases": workspace.phases,
        "versions": ran_on.versions,
        "machine": ran_on.machine,
    }
    measurements = validated(Measurements, values, "measurements")
    return measurements if measured.outputs is None else measurements.with_outputs(measured.outputs)


def _fields(measured: Measured | MeasuredEncoder, without: Collection[str] = ()) -> dict[str, object]:
    return {one.name: getattr(measured, one.name) for one in fields(measured) if one.name not in without}


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
    return Retimed(latency=times, timed=provenance(device))
