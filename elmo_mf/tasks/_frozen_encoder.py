"""Measurements of an encoder whose vectors are used as they are, without a task's model around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.compression import activation_error
from elmo_mf.experiments import Workspace
from elmo_mf.records.record import ActivationError, Latency
from elmo_mf.records.run import Run
from elmo_mf.tasks._encoders import Encoder, TaskGradients, encoder_of, measured_encoder
from elmo_mf.tasks._latency import measure_encoder
from elmo_mf.tasks._producer import MeasuredEncoder, Times
from elmo_mf.tasks._run_data import limited_data
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import TaskConfig, load_task

_SENTENCES = 300  # on which activation errors are measured


def measure_frozen_encoder(
    spec: SweepSpec, run: Run, encoder: Encoder | None, scored: list[list[str]], workspace: Workspace
) -> MeasuredEncoder:
    """Measure the size, the errors and the times of an encoder.

    Args:
        spec: The sweep.
        run: The run.
        encoder: The encoder; None for a baseline without one.
        scored: The sentences that are scored.
        workspace: Workspace of the run.
    """
    if encoder is None:
        return MeasuredEncoder()
    bilm = encoder.load()
    error = None
    if not run.identity.is_dense and run.identity.baseline is None:
        with workspace.phase("errors"):
            dense = Bilm.from_files(spec.options, spec.weights)
            chosen = np.linspace(0, len(scored) - 1, min(_SENTENCES, len(scored))).astype(int)
            difference = activation_error(dense, bilm, [scored[index] for index in chosen])
            error = ActivationError.model_validate(difference.to_dict())
    latency = _times(spec, run, encoder, scored, workspace) if spec.latency_sentences else None
    return measured_encoder(spec, run, bilm, encoder.report, error, latency)


def time_frozen_encoder(
    sentences: Callable[[TaskConfig, Path], list[list[str]]],
    gradients: TaskGradients,
    spec: SweepSpec,
    run: Run,
    workspace: Workspace,
) -> Times:
    """Return the times of a run's encoder, and its device.

    Args:
        sentences: Returns the sentences that are scored, from a task and its data folder.
        gradients: See `encoder_of`.
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
    """
    with workspace.phase("encoder"):
        scored = sentences(load_task(run.task), limited_data(spec, run, workspace))
        encoder = encoder_of(spec, run, workspace, gradients)
    return _times(spec, run, encoder, scored, workspace), torch.device("cpu")


def _times(spec: SweepSpec, run: Run, encoder: Encoder, scored: list[list[str]], workspace: Workspace) -> Latency:
    """Measure an encoder's times while no other run of the sweep computes."""
    bilm = encoder.load()
    dense = None if run.identity.is_dense else Bilm.from_files(spec.options, spec.weights)
    with workspace.phase("measuring"), workspace.machine.exclusive():
        files = spec.options, spec.weights
        return measure_encoder(scored, bilm, dense, files, spec.latency_sentences, spec.latency_rounds)
