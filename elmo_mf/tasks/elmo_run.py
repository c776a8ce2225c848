"""Execution of a run of any task, and training, evaluation and timing of task models with an ELMo.

AllenNLP trains in this process. A run can also be timed alone, which needs no training.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elmo_mf.bilm.config import BilmOptions
from elmo_mf.bilm.encoder import Bilm
from elmo_mf.compression import size_report
from elmo_mf.compression.activation_error import activation_error
from elmo_mf.compression.calibration.row_weights import write_row_weights
from elmo_mf.experiments.bundle import last_names
from elmo_mf.experiments.cache import MAX_JSON_BYTES
from elmo_mf.experiments.runs import Progress
from elmo_mf.experiments.workspace import Workspace
from elmo_mf.io import read_json, scratch
from elmo_mf.plugin.activation_cache import ActivationCache
from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder
from elmo_mf.provenance import provenance
from elmo_mf.records.identity import Split
from elmo_mf.records.record import Measurements, Retimed, measured
from elmo_mf.records.run import Run
from elmo_mf.tasks import latency
from elmo_mf.tasks.config import load_task
from elmo_mf.tasks.data import data_facts, limited_data
from elmo_mf.tasks.encoders import encoder_of
from elmo_mf.tasks.grid import same_form
from elmo_mf.tasks.language_model_run import measure_language_model, time_language_model
from elmo_mf.tasks.run_config import run_config
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.stored_activations import StoredActivations, write_activations
from elmo_mf.tasks.task_gradients import EXAMPLES, row_weights
from elmo_mf.tasks.training import train, training_loop

_TEXTS = 300


def execute(spec: SweepSpec, run: Run, workspace: Workspace) -> Measurements:
    """Execute a run and return its measurements."""
    started = time.perf_counter()
    measurements, device = (measure_language_model if run.is_language_model else _measure)(spec, run, workspace)
    values = {
        "task": load_task(run.task).info.to_dict(),
        **measurements,
        "data": "demo" if spec.data is None else last_names(spec.data, 1),
        "seconds": round(time.perf_counter() - started, 1),
        "phases": workspace.phases,
        **provenance(device),
    }
    return measured(Measurements, values)


def measure_times(spec: SweepSpec, run: Run, workspace: Workspace) -> Retimed:
    """Measure only the times of a run.

    Nothing is trained except what the ranks within a budget depend on, because times do not depend on values.
    """
    times, device = (time_language_model if run.is_language_model else _times_untrained)(
        spec, same_form(run), workspace
    )
    return measured(Retimed, {"latency": times, "timed": provenance(device)})


def _measure(spec: SweepSpec, run: Run, workspace: Workspace) -> tuple[dict[str, Any], torch.device]:
    """Return the record fields of a task's model with an ELMo, and its device."""
    task = load_task(run.task)
    with trained(spec, run, workspace) as (loop, embedder, training, data, report):
        with workspace.phase("scoring"):
            scores, instances = _score(loop, task.score.split)
            dense = _dense(spec, run, embedder)
            error = None if dense is None else _activation_error(run, dense, embedder.bilm, instances, workspace)
        times = _times(spec, loop, embedder, instances, dense, workspace)
        encoder = embedder.bilm
    record = {
        "scores": {name: scores[name] for name in task.score.metrics},
        "validation": {name: training[f"best_validation_{name}"] for name in task.score.metrics},
        "best_epoch": training["best_epoch"] + 1,
        "epochs": training["epoch"] + 1,
        **data_facts(run, data, workspace),
        "size": size_report(encoder.weights(), encoder.options).to_dict(),
        "activation_error": error,
        "matrices": report.get("matrices", []),
        **({"highways": report["highways"]} if report.get("highways") else {}),
        "factorization_seconds": report.get("seconds"),
        "latency": times,
        "elmo": _elmo_facts(spec),
    }
    return record, encoder.device


def _times_untrained(spec: SweepSpec, run: Run, workspace: Workspace) -> tuple[dict[str, Any], torch.device]:
    with _untrained(spec, run, workspace) as (loop, embedder, *_):
        instances = list(_scored_loader(loop, load_task(run.task).score.split).iter_instances())
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
    return Bilm.from_files(spec.options, spec.weights).to(embedder.bilm.device) if run.compression else None


class Trained(NamedTuple):
    """A trained task model.

    Attributes:
        loop: AllenNLP's training loop, completed, with the best weights.
        embedder: `elmo_mf` embedder of the model.
        metrics: Training metrics.
        data: Data folder.
        report: Report of the encoder's compression; empty if the encoder is dense.
    """

    loop: Any
    embedder: ElmoMfTokenEmbedder
    metrics: dict[str, Any]
    data: Path
    report: dict[str, Any]


@contextlib.contextmanager
def trained(spec: SweepSpec, run: Run, workspace: Workspace) -> Iterator[Trained]:
    """Train the model of a run; AllenNLP's files exist while the context lasts."""
    with _untrained(spec, run, workspace) as (loop, embedder, data, report):
        with workspace.phase("activations"):
            _share_activations(spec, run, loop, embedder, workspace)
        with workspace.phase("training"):
            metrics = train(loop, load_task(run.task), workspace)
        yield Trained(loop, embedder, metrics, data, report)


def gradients_of(spec: SweepSpec, run: Run, workspace: Workspace) -> Path:
    """Return the gradient file of a run's task and seed, computing it if it is not cached.

    The gradients are those of a model trained with the dense, frozen encoder, like any other run.
    """
    dense = run.dense()

    def make(folder: Path) -> None:
        with trained(spec, dense, workspace) as (loop, embedder, *_):
            rows = row_weights(loop.model, embedder, loop.trainer.data_loader)
        settings = {"task": run.task, "seed": dense.seed, "examples": EXAMPLES}
        write_row_weights(folder / "gradients.hdf5", rows, settings)

    return workspace.cache.get("gradients", f"{run.task}-{dense.id[:16]}", make) / "gradients.hdf5"


@contextlib.contextmanager
def _untrained(
    spec: SweepSpec, run: Run, workspace: Workspace
) -> Iterator[tuple[Any, ElmoMfTokenEmbedder, Path, dict[str, Any]]]:
    """Provide the fields of `Trained` except the metrics, before training."""
    with scratch(workspace.folder, "training") as work:
        with workspace.phase("encoder"):
            data = limited_data(spec, run, workspace)
            encoder = encoder_of(spec, run, workspace, gradients_of)
        with workspace.phase("data"):
            config = run_config(spec, load_task(run.task), run.seed, str(data), (encoder.options, encoder.weights))
            loop = training_loop(config, str(work))
        yield loop, latency.embedder_of(loop.model), data, encoder.report


def _share_activations(
    spec: SweepSpec, run: Run, loop: Any, embedder: ElmoMfTokenEmbedder, workspace: Workspace
) -> None:
    """Compute a frozen encoder's activations on the data, once for all runs that share them."""
    bilm = embedder.bilm
    frozen = not any(parameter.requires_grad for parameter in bilm.parameters())
    if not spec.cache_mb or not frozen or bilm.state_policy == "carried":
        return
    loaders = (loop.trainer.data_loader, loop.trainer._validation_data_loader, loop.evaluation_data_loader)
    instances = itertools.chain.from_iterable(loader.iter_instances() for loader in loaders if loader is not None)

    def make(folder: Path) -> None:
        batches = _character_ids(instances, loop.model.vocab)
        write_activations(
            folder, bilm, batches, workspace.cache.make_room, lambda: workspace.step(Progress("activations"))
        )

    def read(folder: Path) -> StoredActivations:
        return StoredActivations(folder, bilm.options.lstm.n_layers + 1, bilm.output_dim)

    stored = workspace.cache.load("activations", run.activations_id[:32], make, read)
    embedder.elmo_module.cache = ActivationCache(0, stored)


def _character_ids(instances: Iterable[Any], vocabulary: Any) -> Iterator[Tensor]:
    """Yield the encoder's inputs for the instances, each (sentences, longest, characters)."""
    from allennlp.common.util import lazy_groups_of
    from allennlp.data.batch import Batch

    for group in lazy_groups_of(instances, 64):
        batch = Batch(list(group))
        batch.index_instances(vocabulary)
        for ids in _elmo_tokens(batch.as_tensor_dict()):
            yield ids.flatten(0, -3)


def _elmo_tokens(tensors: Any) -> Iterator[Tensor]:
    """Yield the embedder's inputs in a batch, at any depth."""
    for key, value in tensors.items() if isinstance(tensors, dict) else ():
        if key == "elmo_tokens":
            yield value
        else:
            yield from _elmo_tokens(value)


def _activation_error(run: Run, dense: Bilm, compressed: Bilm, instances: list[Any], workspace: Workspace) -> Any:
    """Return the activation error on the first texts of the scored split, computed once for all seeds."""

    def make(folder: Path) -> None:
        error = activation_error(dense, compressed, _sentences(instances))
        (folder / "error.json").write_text(json.dumps(error.to_dict()), encoding="utf-8")

    def read(folder: Path) -> Any:
        return read_json(folder / "error.json", "cached errors", "an activation error", most=MAX_JSON_BYTES)

    return workspace.cache.load("errors", run.activations_id[:32], make, read)


def _score(loop: Any, split: Split) -> tuple[dict[str, float], list[Any]]:
    """Return the metrics of the best weights on a split, and the split's instances."""
    from allennlp.training.util import evaluate

    loader = _scored_loader(loop, split)
    scores = evaluate(loop.model, loader, cuda_device=loop.trainer.cuda_device)
    return scores, list(loader.iter_instances())


def _scored_loader(loop: Any, split: Split) -> Any:
    return loop.evaluation_data_loader if split == "test" else loop.trainer._validation_data_loader


def _sentences(instances: list[Any]) -> list[list[str]]:
    """Return the tokenized texts of the first instances, at most 300."""
    fields = [field for instance in instances[:_TEXTS] for field in instance.fields.values()]
    texts = [[token.text for token in field.tokens] for field in fields if getattr(field, "tokens", None)]
    return texts[:_TEXTS]


def _elmo_facts(spec: SweepSpec) -> dict[str, Any]:
    lstm = BilmOptions.from_file(spec.options).lstm
    return {
        "name": last_names(spec.weights, 2),
        "layers": lstm.n_layers,
        "cell": lstm.dim,
        "projection": lstm.projection_dim,
    }
