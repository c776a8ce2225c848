"""A task's model with an ELMo: trained on the run's encoder, or trained on the dense one and then given the run's."""

from __future__ import annotations

import contextlib
import copy
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from elmo_mf.experiments import Workspace
from elmo_mf.io import scratch
from elmo_mf.records.identity import Split
from elmo_mf.records.run import Run
from elmo_mf.tasks import _task_gradients
from elmo_mf.tasks._encoders import EncoderReport, encoder_of
from elmo_mf.tasks._latency import embedder_of
from elmo_mf.tasks._model_outputs import Scored, has_collapsed, scored
from elmo_mf.tasks._run_config import model_config
from elmo_mf.tasks._run_data import limited_data
from elmo_mf.tasks._shared_activations import share_activations
from elmo_mf.tasks._stored_model import VOCABULARY, StoredTraining, read_model, write_model
from elmo_mf.tasks._task_gradients import EXAMPLES, task_moments
from elmo_mf.tasks._token_gradients import TokenMoments, cached_gradients
from elmo_mf.tasks._training import Epochs, Training, train, training_loop
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import load_task

if TYPE_CHECKING:
    from allennlp.commands.train import TrainModel
    from allennlp.data import DataLoader

    from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder

VERSION = 1
"""Version of the view `tuned`, part of a run's identity; raised when its scores change."""

_ATTEMPTS = 3
TUNING_RATE = 0.2
"""Learning rate of the view `tuned`, as a share of the task's."""

Config = dict[str, Any]


class Trained(NamedTuple):
    """A task model.

    Attributes:
        loop: AllenNLP's training loop; once completed, with the best weights.
        embedder: `elmo_mf` embedder of the model; None if it reads no ELMo.
        data: Data folder.
        report: Report of the encoder's compression.
        training: What the training reported; None before it.
        collapsed: Whether the model learned nothing in any attempt.
        attempts: Number of trainings before this one, which collapsed.
        validation: Scores of the trained model on the validation split, if they are known.
    """

    loop: TrainModel
    embedder: ElmoMfTokenEmbedder | None
    data: Path
    report: EncoderReport
    training: Training | None = None
    collapsed: bool = False
    attempts: int = 0
    validation: Scored | None = None

    def score(self, run: Run, split: Split, workspace: Workspace) -> Scored:
        """Score the model on a split that is not trained on.

        Args:
            run: The run.
            split: The split.
            workspace: Workspace of the run.
        """
        if split == "validation" and self.validation is not None:
            return self.validation
        task = load_task(run.task)
        loader = loader_of(self.loop, split)
        pause = workspace.machine.yield_to_measurement
        return scored(self.loop.model, loader, task, self.data / task.run_files[split], pause)


def loader_of(loop: TrainModel, split: Split) -> DataLoader:
    """Return the loop's data loader of a split that is not trained on."""
    return loop.evaluation_data_loader if split == "test" else loop.trainer._validation_data_loader


@contextlib.contextmanager
def trained(spec: SweepSpec, run: Run, workspace: Workspace) -> Iterator[Trained]:
    """Provide the trained model of a run.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.

    Yields:
        The model; AllenNLP's files exist while the context lasts.
    """
    if run.identity.view != "retrained":
        with _swapped(spec, run, workspace) as model:
            yield model
        return
    with _retrained(spec, run, workspace) as model:
        if run.identity.is_dense:
            workspace.cache.get(*_place(run), lambda folder: _write(folder, model))
        yield model


@contextlib.contextmanager
def _retrained(spec: SweepSpec, run: Run, workspace: Workspace) -> Iterator[Trained]:
    """Train a model on the run's encoder; if it collapses, again with another seed and half the learning rate."""
    for attempt in range(_ATTEMPTS):

        def change(config: Config, attempt: int = attempt) -> None:
            for name in ("random_seed", "numpy_seed", "pytorch_seed"):
                config[name] += 1_000_000 * attempt
            config["trainer"]["optimizer"]["lr"] = _rate(config) * 0.5**attempt

        with untrained(spec, run, workspace, change if attempt else None) as model:
            if model.embedder is not None:
                share_activations(spec, run, model.loop, model.embedder, workspace)
            with workspace.phase("training"):
                training = train(model.loop, load_task(run.task), workspace)
            model = model._replace(training=training, attempts=attempt)
            with workspace.phase("scoring"):
                validation = model.score(run, "validation", workspace)
                collapsed = has_collapsed(load_task(run.task), validation.outputs, model.data)
            if not collapsed or attempt == _ATTEMPTS - 1:
                yield model._replace(collapsed=collapsed, validation=validation)
                return


@contextlib.contextmanager
def _swapped(spec: SweepSpec, run: Run, workspace: Workspace) -> Iterator[Trained]:
    """Put the run's encoder into the model that was trained on the dense one; the view `tuned` trains it once more."""
    tuned, dense = run.identity.view == "tuned", run.dense().retrained()
    stored = _stored_model(spec, dense, workspace)

    def change(config: Config) -> None:
        _read_vocabulary(stored, workspace, config)
        if tuned:
            config["trainer"]["num_epochs"] = 1
            config["trainer"]["optimizer"]["lr"] = TUNING_RATE * _rate(config)
        else:  # nothing is trained: the training data need not be read
            config["train_data_path"] = config["validation_data_path"]
            config["dataset_reader"] = copy.deepcopy(config.get("validation_dataset_reader", config["dataset_reader"]))

    with untrained(spec, run, workspace, change) as model:
        loop = model.loop
        assert model.embedder is not None  # baselines are trained
        before = read_model(stored, loop.model, model.embedder)
        share_activations(spec, run, loop, model.embedder, workspace)
        if tuned:
            with workspace.phase("training"):
                best = train(loop, load_task(run.task), workspace).validation
        else:
            with workspace.phase("scoring"):
                validation = model.score(run, "validation", workspace)
            model = model._replace(validation=validation)
            best = validation.metrics
        epochs = Epochs(best_epoch=before.best_epoch + tuned, epoch=before.epoch + tuned)
        yield model._replace(training=Training(epochs, best), collapsed=before.collapsed, attempts=before.attempts)


def _stored_model(spec: SweepSpec, dense: Run, workspace: Workspace) -> Path:
    """Return the folder of the model that was trained on the dense encoder, training it if it is not cached."""

    def make(folder: Path) -> None:
        with _retrained(spec, dense, workspace) as model:
            _write(folder, model)

    return workspace.cache.get(*_place(dense), make)


def _read_vocabulary(stored: Path, workspace: Workspace, config: Config) -> None:
    """Make a model's config read the vocabulary of a stored model."""
    words = workspace.folder / VOCABULARY
    shutil.copytree(stored / VOCABULARY, words, dirs_exist_ok=True)  # AllenNLP leaves a lock where it reads
    config["vocabulary"] = {"type": "from_files", "directory": str(words)}


def _write(folder: Path, model: Trained) -> None:
    assert model.embedder is not None and model.training is not None  # a dense one is there, and was trained
    epochs = model.training.epochs.model_dump()
    training = StoredTraining(**epochs, collapsed=model.collapsed, attempts=model.attempts)
    write_model(folder, model.loop.model, model.embedder, training)


def _place(dense: Run) -> tuple[str, str]:
    """Return the place in the cache of the model of a dense run."""
    return "models", f"{dense.task}-{dense.id[:16]}"


def _rate(config: Config) -> float:
    return float(config["trainer"]["optimizer"].get("lr", 1e-3))  # Adam's default


def gradients_of(spec: SweepSpec, run: Run, workspace: Workspace, with_covariances: bool = True) -> Path:
    """Return the gradient file of a run's task and seed, computing it if it is not cached.

    The gradients are those of a model trained with the dense, frozen encoder, like any other run.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
        with_covariances: Whether the file is to have output covariances beside row weights; a compression that needs
            none gets none. Defaults to True.
    """

    def compute(dense: Run, with_covariances: bool) -> tuple[TokenMoments, dict[str, Any]]:
        stored = _stored_model(spec, dense, workspace)
        with untrained(spec, dense, workspace, partial(_read_vocabulary, stored, workspace)) as model:
            loop, embedder = model.loop, model.embedder
            assert embedder is not None  # a dense one is there
            read_model(stored, loop.model, embedder)
            steps = partial(workspace.steps, "gradients")
            moments = task_moments(loop.model, embedder, loop.trainer.data_loader, steps, with_covariances)
        return moments, {"task": dense.task, "seed": dense.seed, "examples": EXAMPLES}

    return cached_gradients(run, _task_gradients.VERSION, workspace, with_covariances, compute)


@contextlib.contextmanager
def untrained(
    spec: SweepSpec, run: Run, workspace: Workspace, change: Callable[[Config], None] | None = None
) -> Iterator[Trained]:
    """Provide the model of a run before training, without metrics.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
        change: Changes the AllenNLP config; None to leave it as it is.
    """
    with scratch(workspace.folder, "training") as work:
        with workspace.phase("encoder"):
            data = limited_data(spec, run, workspace)
            encoder = encoder_of(spec, run, workspace, gradients_of)
        with workspace.phase("data"):
            config = model_config(spec, run, data, encoder)
            if change is not None:
                change(config)
            loop = training_loop(config, str(work))
        embedder = None if run.identity.baseline == "no-encoder" else embedder_of(loop.model)
        yield Trained(loop, embedder, data, encoder.report)
