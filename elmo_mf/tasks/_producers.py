"""Choice of the producer that executes the runs of a task."""

from __future__ import annotations

from elmo_mf.records.identity import Baseline
from elmo_mf.tasks import _bilm_run, _elmo_run, _language_model_run, _words_run
from elmo_mf.tasks._producer import Producer
from elmo_mf.tasks.probe import probe_run
from elmo_mf.tasks.task_config import Kind, TaskConfig

_PRODUCERS: dict[Kind, Producer] = {
    "elmo": _elmo_run.PRODUCER,
    "language-model": _language_model_run.PRODUCER,
    "probe": probe_run.PRODUCER,
    "bilm": _bilm_run.PRODUCER,
}


def producer_of(task: TaskConfig, baseline: Baseline | None) -> Producer:
    """Return the producer of a task's runs with an encoder, or with what takes its place."""
    if task.kind == "elmo" and baseline == "words":
        return _words_run.PRODUCER
    return _PRODUCERS[task.kind]
