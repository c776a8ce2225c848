"""Execution of a run of any task: training, evaluation and timing, or timing alone, which needs no training."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.compression import size_report
from elmo_mf.experiments.bundle import last_names
from elmo_mf.experiments.workspace import Workspace
from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder
from elmo_mf.provenance import provenance
from elmo_mf.records.outputs import Outputs
from elmo_mf.records.record import Measurements, Retimed, measured
from elmo_mf.records.run import Run
from elmo_mf.tasks import latency
from elmo_mf.tasks.bilm_run import measure_bilm, time_bilm
from elmo_mf.tasks.encoders import elmo_facts
from elmo_mf.tasks.grid import same_form
from elmo_mf.tasks.language_model_run import measure_language_model, time_language_model
from elmo_mf.tasks.probe.probe_run import measure_probe, time_probe
from elmo_mf.tasks.run_data import data_facts
from elmo_mf.tasks.shared_activations import shared_activation_error
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import load_task
from elmo_mf.tasks.trained_model import Trained, loader_of, trained, untrained
from elmo_mf.tasks.words_run import measure_words

_Measured = tuple[dict[str, Any], Outputs | None, torch.device]


def execute(spec: SweepSpec, run: Run, workspace: Workspace) -> Measurements:
    """Execute a run and return its measurements.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
    """
    started = time.perf_counter()
    measurements, outputs, device = _measure_of(run)(spec, run, workspace)
    values = {
        "task": load_task(run.task).info.to_dict(),
        **measurements,
        "data": "demo" if spec.data is None else last_names(spec.data, 1),
        "seconds": max(0.1, round(time.perf_counter() - started, 1)),
        "phases": workspace.phases,
        **provenance(device),
    }
    validated = measured(Measurements, values)
    return validated if outputs is None else validated.with_outputs(outputs)


def _measure_of(run: Run) -> Callable[[SweepSpec, Run, Workspace], _Measured]:
    kind = load_task(run.task).kind
    if kind == "elmo":
        return measure_words if run.identity.baseline == "words" else _measure
    return {"probe": measure_probe, "language-model": measure_language_model, "bilm": measure_bilm}[kind]


def measure_times(spec: SweepSpec, run: Run, workspace: Workspace) -> Retimed:
    """Measure only the times of a run.

    Nothing is trained except what the ranks within a budget depend on, because times do not depend on values.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
    """
    kinds = {"elmo": _times_untrained, "probe": time_probe, "language-model": time_language_model, "bilm": time_bilm}
    times, device = kinds[load_task(run.task).kind](spec, same_form(run), workspace)
    return measured(Retimed, {"latency": times, "timed": provenance(device)})


def _measure(spec: SweepSpec, run: Run, workspace: Workspace) -> _Measured:
    """Return the record fields of a task's model, its outputs, and its device."""
    task = load_task(run.task)
    with trained(spec, run, workspace) as model:
        loop, training = model.loop, model.metrics
        with workspace.phase("scoring"):
            splits = dict.fromkeys((task.score.split, "validation"))
            scored = {split: model.score(run, split, workspace) for split in splits}
            instances = list(loader_of(loop, task.score.split).iter_instances())
        encoder = _encoder_fields(spec, run, model, instances, workspace)
        device = next(loop.model.parameters()).device
    record = {
        "scores": {name: scored[task.score.split].metrics[name] for name in task.score.metrics},
        "validation": {name: training[f"best_validation_{name}"] for name in task.score.metrics},
        "best_epoch": training["best_epoch"] + 1,
        "epochs": training["epoch"] + 1,
        "collapsed": model.collapsed,
        "collapsed_attempts": model.attempts,
        **data_facts(run, model.data, workspace),
        **encoder,
    }
    return record, Outputs({split: one.outputs for split, one in scored.items()}), device


def _encoder_fields(
    spec: SweepSpec, run: Run, model: Trained, instances: list[Any], workspace: Workspace
) -> dict[str, Any]:
    """Return the record fields that describe the encoder."""
    report, embedder = model.report, model.embedder
    fields: dict[str, Any] = {
        "size": None,
        "activation_error": None,
        "matrices": report.get("matrices", []),
        **({"highways": report["highways"]} if report.get("highways") else {}),
        "factorization_seconds": report.get("seconds"),
        "latency": None,
        "elmo": elmo_facts(spec) if run.identity.has_elmo else None,
    }
    if embedder is None:
        return fields
    bilm = embedder.bilm
    with workspace.phase("scoring"):
        dense = _dense(spec, run, embedder)
        error = None
        if dense is not None and run.identity.smaller is None:
            error = shared_activation_error(run, dense, bilm, instances, workspace)
    return fields | {
        "size": size_report(bilm.weights(), bilm.options).to_dict(),
        "activation_error": error,
        "latency": _times(spec, model.loop, embedder, instances, dense, workspace),
    }


def _times_untrained(spec: SweepSpec, run: Run, workspace: Workspace) -> tuple[dict[str, Any], torch.device]:
    with untrained(spec, run, workspace) as (loop, embedder, *_):
        assert embedder is not None  # records without an encoder have no times
        instances = list(loader_of(loop, load_task(run.task).score.split).iter_instances())
        times = _times(spec, loop, embedder, instances, _dense(spec, run, embedder), workspace)
        return times, embedder.bilm.device


def _times(
    spec: SweepSpec,
    loop: Any,
    embedder: ElmoMfTokenEmbedder,
    instances: list[Any],
    dense: Bilm | None,
    workspace: Workspace,
) -> dict[str, Any]:
    """Run `latency.measure` while no other run of the sweep computes."""
    with workspace.phase("measuring"), workspace.machine.exclusive():
        allennlp = latency.allennlp_encoder(spec.options, spec.weights, embedder.bilm.device)
        how_often = spec.latency_sentences, spec.latency_rounds
        return latency.measure(loop.model, instances, dense, *how_often, allennlp)


def _dense(spec: SweepSpec, run: Run, embedder: ElmoMfTokenEmbedder) -> Bilm | None:
    """Return the encoder before compression, on the embedder's device; None if the run's encoder is dense."""
    return Bilm.from_files(spec.options, spec.weights).to(embedder.bilm.device) if not run.identity.is_dense else None
