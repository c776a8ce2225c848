"""Execution of a run of a task's model with an ELMo: training, evaluation and timing, or timing alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.experiments import Workspace
from elmo_mf.records.identity import TRAINING, TUNING, EncoderIdentity, View, unless_first
from elmo_mf.records.outputs import Outputs
from elmo_mf.records.record import Latency
from elmo_mf.records.run import Run
from elmo_mf.tasks import _latency, _task_gradients, _trained_model, _training
from elmo_mf.tasks._encoders import encoder_versions, measured_encoder
from elmo_mf.tasks._producer import Measured, MeasuredEncoder, Producer, Times
from elmo_mf.tasks._run_data import data_facts
from elmo_mf.tasks._shared_activations import shared_activation_error
from elmo_mf.tasks._trained_model import Trained, loader_of, trained, untrained
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import TaskConfig, load_task

if TYPE_CHECKING:
    from allennlp.commands.train import TrainModel
    from allennlp.data import Instance

    from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder


def measure_elmo(spec: SweepSpec, run: Run, workspace: Workspace) -> Measured:
    """Train or load a task's model, score it, and measure its encoder.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
    """
    task = load_task(run.task)
    with trained(spec, run, workspace) as model:
        loop, training = model.loop, model.training
        assert training is not None
        with workspace.phase("scoring"):
            splits = dict.fromkeys((task.score.split, "validation"))
            scored = {split: model.score(run, split, workspace) for split in splits}
            instances = list(loader_of(loop, task.score.split).iter_instances())
        facts = data_facts(run, model.data, workspace)
        return Measured(
            scores={name: scored[task.score.split].metrics[name] for name in task.score.metrics},
            validation={name: training.validation[name] for name in task.score.metrics},
            best_epoch=training.epochs.best_epoch + 1,
            epochs=training.epochs.epoch + 1,
            collapsed=model.collapsed,
            collapsed_attempts=model.attempts,
            examples=facts.examples,
            chance=facts.chance,
            encoder=_measured_encoder(spec, run, model, instances, workspace),
            outputs=Outputs({split: one.outputs for split, one in scored.items()}),
            device=next(loop.model.parameters()).device,
        )


def _measured_encoder(
    spec: SweepSpec, run: Run, model: Trained, instances: list[Instance], workspace: Workspace
) -> MeasuredEncoder:
    embedder = model.embedder
    if embedder is None:
        return MeasuredEncoder()
    bilm, error = embedder.bilm, None
    with workspace.phase("scoring"):
        dense = _dense(spec, run, embedder)
        if dense is not None and run.identity.smaller is None:
            error = shared_activation_error(run, dense, bilm, instances, workspace)
    sample = model.loop, embedder, instances
    times = _times(spec, *sample, dense, workspace) if spec.latency_sentences else None
    return measured_encoder(spec, run, bilm, model.report, error, times)


def time_elmo(spec: SweepSpec, run: Run, workspace: Workspace) -> Times:
    """Return the times of a run's encoder in a model that is not trained, and its device.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
    """
    with untrained(spec, run, workspace) as (loop, embedder, *_):
        assert embedder is not None  # records without an encoder have no times
        instances = list(loader_of(loop, load_task(run.task).score.split).iter_instances())
        times = _times(spec, loop, embedder, instances, _dense(spec, run, embedder), workspace)
        return times, embedder.bilm.device


def _times(
    spec: SweepSpec,
    loop: TrainModel,
    embedder: ElmoMfTokenEmbedder,
    instances: list[Instance],
    dense: Bilm | None,
    workspace: Workspace,
) -> Latency:
    """Run `_latency.measure` while no other run of the sweep computes."""
    with workspace.phase("measuring"), workspace.machine.exclusive():
        allennlp = _latency.allennlp_encoder(spec.options, spec.weights, embedder.bilm.device)
        how_often = spec.latency_sentences, spec.latency_rounds
        return _latency.measure(loop.model, instances, dense, *how_often, allennlp)


def _dense(spec: SweepSpec, run: Run, embedder: ElmoMfTokenEmbedder) -> Bilm | None:
    """Return the encoder before compression, on the embedder's device; None if the run's encoder is dense."""
    return Bilm.from_files(spec.options, spec.weights).to(embedder.bilm.device) if not run.identity.is_dense else None


def _versions(task: TaskConfig, encoder: EncoderIdentity, view: View) -> dict[str, int]:
    versions = {TRAINING: _training.VERSION} | encoder_versions(encoder)
    if encoder.task_gradients:
        versions["gradients"] = _task_gradients.VERSION
    return versions | (unless_first({TUNING: _trained_model.VERSION}) if view == "tuned" else {})


PRODUCER = Producer(measure_elmo, _versions, time_elmo)
