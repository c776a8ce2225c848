"""Execution of a run of any task: training, evaluation and timing, or timing alone, which needs no training."""

from __future__ import annotations

import time
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
from elmo_mf.tasks.config import load_task
from elmo_mf.tasks.data import data_facts
from elmo_mf.tasks.encoders import elmo_facts
from elmo_mf.tasks.grid import same_form
from elmo_mf.tasks.language_model_run import measure_language_model, time_language_model
from elmo_mf.tasks.probe.run import measure_probe, time_probe
from elmo_mf.tasks.shared_activations import shared_activation_error
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.trained_model import loader_of, trained, untrained
from elmo_mf.tasks.training import evaluate


def execute(spec: SweepSpec, run: Run, workspace: Workspace) -> Measurements:
    """Execute a run and return its measurements."""
    started = time.perf_counter()
    measure = measure_probe if run.identity.is_probe else measure_language_model if run.is_language_model else _measure
    measurements, outputs, device = measure(spec, run, workspace)
    values = {
        "task": load_task(run.task).info.to_dict(),
        **measurements,
        "data": "demo" if spec.data is None else last_names(spec.data, 1),
        "seconds": round(time.perf_counter() - started, 1),
        "phases": workspace.phases,
        **provenance(device),
    }
    found = measured(Measurements, values)
    return found if outputs is None else found.with_outputs(outputs)


def measure_times(spec: SweepSpec, run: Run, workspace: Workspace) -> Retimed:
    """Measure only the times of a run.

    Nothing is trained except what the ranks within a budget depend on, because times do not depend on values.
    """
    measure = (
        time_probe if run.identity.is_probe else time_language_model if run.is_language_model else _times_untrained
    )
    times, device = measure(spec, same_form(run), workspace)
    return measured(Retimed, {"latency": times, "timed": provenance(device)})


def _measure(spec: SweepSpec, run: Run, workspace: Workspace) -> tuple[dict[str, Any], Outputs | None, torch.device]:
    """Return the record fields of a task's model with an ELMo, its outputs, and its device."""
    task = load_task(run.task)
    with trained(spec, run, workspace) as model:
        loop, embedder, training, report = model.loop, model.embedder, model.metrics, model.report
        with workspace.phase("scoring"):
            loader = loader_of(loop, task.score.split)
            scores, instances = evaluate(loop, loader), list(loader.iter_instances())
            splits = dict.fromkeys((task.score.split, "validation"))
            outputs = Outputs({split: model.outputs(run, split, workspace) for split in splits})
            dense = _dense(spec, run, embedder)
            error = None if dense is None else shared_activation_error(run, dense, embedder.bilm, instances, workspace)
        times = _times(spec, loop, embedder, instances, dense, workspace)
        encoder = embedder.bilm
    record = {
        "scores": {name: scores[name] for name in task.score.metrics},
        "validation": {name: training[f"best_validation_{name}"] for name in task.score.metrics},
        "best_epoch": training["best_epoch"] + 1,
        "epochs": training["epoch"] + 1,
        "collapsed": model.collapsed,
        "collapsed_attempts": model.attempts,
        **data_facts(run, model.data, workspace),
        "size": size_report(encoder.weights(), encoder.options).to_dict(),
        "activation_error": error,
        "matrices": report.get("matrices", []),
        **({"highways": report["highways"]} if report.get("highways") else {}),
        "factorization_seconds": report.get("seconds"),
        "latency": times,
        "elmo": elmo_facts(spec),
    }
    return record, outputs, encoder.device


def _times_untrained(spec: SweepSpec, run: Run, workspace: Workspace) -> tuple[dict[str, Any], torch.device]:
    with untrained(spec, run, workspace) as (loop, embedder, *_):
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
