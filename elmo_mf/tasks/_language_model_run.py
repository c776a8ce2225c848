"""Execution of a language model's run: its core is compressed after training, optionally fine-tuned, and evaluated.

The dense model is trained once per task and seed and cached; every compression starts from it.
"""

from __future__ import annotations

from torch import Tensor

from elmo_mf.compression import matrix_reports
from elmo_mf.experiments import Workspace
from elmo_mf.lm import core_activation_error, core_input_covariances
from elmo_mf.records.identity import TRAINING, EncoderIdentity, View
from elmo_mf.records.record import ActivationError, Latency, LstmMatrix, Size
from elmo_mf.records.run import Run
from elmo_mf.tasks import _finetuning, _language_model_gradients
from elmo_mf.tasks import _training as dense_training
from elmo_mf.tasks._encoders import encoder_versions
from elmo_mf.tasks._language_model_latency import measure
from elmo_mf.tasks._language_model_training import LanguageModelTraining
from elmo_mf.tasks._producer import Measured, MeasuredEncoder, Producer, Times
from elmo_mf.tasks._run_data import data_facts, limited_data
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import TaskConfig


def measure_language_model(spec: SweepSpec, run: Run, workspace: Workspace) -> Measured:
    """Train or load a language model, compress and score it, and measure its times.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
    """
    with workspace.phase("data"):
        training = LanguageModelTraining(spec, run, workspace, limited_data(spec, run, workspace))
    scored_split = training.task.score.split
    compression, seen, scored = run.compression, list[Tensor](), list[Tensor]()
    seconds = error = None
    matrices: list[LstmMatrix] = []
    if compression is not None:
        with workspace.phase("encoder"):
            # before tuning changes the embeddings
            seen, scored = training.inputs("train"), training.inputs(scored_split)
            seconds = training.compress(compression, seen)
    if run.finetune is not None:
        with workspace.phase("training"):
            training.finetune(run.finetune)
    with workspace.phase("scoring"):
        scores, validation, size = training.scores(scored_split), training.scores("validation"), training.size()
        if compression is not None:
            before, after = training.dense.weights(), training.model.core.weights()
            reports = matrix_reports(before, after, size, core_input_covariances(training.dense, seen))
            matrices = [LstmMatrix.model_validate(matrix.to_dict()) for matrix in reports]
            difference = core_activation_error(training.dense, training.model.core, scored)
            error = ActivationError.model_validate(difference.to_dict())
    facts = data_facts(run, training.data, workspace)
    assert training.epochs is not None  # the dense model was trained
    return Measured(
        scores=scores,
        validation=validation,
        best_epoch=training.epochs.best_epoch + 1,
        epochs=training.epochs.epoch + 1,
        examples=facts.examples,
        chance=facts.chance,
        encoder=MeasuredEncoder(
            size=Size.model_validate(size.to_dict()),
            activation_error=error,
            matrices=matrices,
            factorization_seconds=seconds,
            latency=_times(spec, training, workspace) if spec.latency_sentences else None,
        ),
        device=training.device,
    )


def time_language_model(spec: SweepSpec, run: Run, workspace: Workspace) -> Times:
    """Return the times of a language model, and its device.

    The model is untrained, except with a budget, because its ranks depend on the weights.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
    """
    trained = run.compression is not None and run.compression.budget is not None
    with workspace.phase("data"):
        training = LanguageModelTraining(spec, run, workspace, limited_data(spec, run, workspace), trained)
    if run.compression is not None:
        with workspace.phase("encoder"):
            training.compress(run.compression, training.inputs("train"))
    return _times(spec, training, workspace), training.device


def _times(spec: SweepSpec, training: LanguageModelTraining, workspace: Workspace) -> Latency:
    """Measure times while no other run of the sweep computes."""
    with workspace.phase("measuring"), workspace.machine.exclusive():
        return measure(training.model, training.dense, training.device, spec.latency_sentences, spec.latency_rounds)


def _versions(task: TaskConfig, encoder: EncoderIdentity, view: View) -> dict[str, int]:
    versions = {TRAINING: dense_training.VERSION} | encoder_versions(encoder)
    if encoder.task_gradients:
        versions["gradients"] = _language_model_gradients.VERSION
    return versions if encoder.tuning is None else versions | {"finetuning": _finetuning.VERSION}


PRODUCER = Producer(measure_language_model, _versions, time_language_model)
