"""Training of a task's model with an ELMo, and the gradients of a trained one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from elmo_mf.compression.calibration.row_weights import write_row_weights
from elmo_mf.experiments.workspace import Workspace
from elmo_mf.io import scratch
from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder
from elmo_mf.records.run import Run
from elmo_mf.tasks.config import load_task
from elmo_mf.tasks.data import limited_data
from elmo_mf.tasks.encoders import encoder_of
from elmo_mf.tasks.latency import embedder_of
from elmo_mf.tasks.run_config import run_config
from elmo_mf.tasks.shared_activations import share_activations
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_gradients import EXAMPLES, row_weights
from elmo_mf.tasks.training import train, training_loop


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
    with untrained(spec, run, workspace) as (loop, embedder, data, report):
        with workspace.phase("activations"):
            share_activations(spec, run, loop, embedder, workspace)
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
def untrained(
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
        yield loop, embedder_of(loop.model), data, encoder.report
