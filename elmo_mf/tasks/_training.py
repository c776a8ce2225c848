"""AllenNLP's training loop in this process, which reports progress and yields to measurements of other runs."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from elmo_mf.determinism import deterministic
from elmo_mf.errors import InputError
from elmo_mf.experiments import Progress, Workspace
from elmo_mf.progress import stage
from elmo_mf.records.base_model import Count, Data
from elmo_mf.tasks.task_config import TaskConfig

if TYPE_CHECKING:
    from allennlp.commands.train import TrainModel
    from allennlp.data import DataLoader
    from allennlp.training import GradientDescentTrainer

VERSION = 1
"""Version of the training of a task's model, part of a run's identity; raised when its result changes.

The table of versions in `docs/design.md` lists the files that it stands for.
"""
_BEST = "best_validation_"  # prefix of the metrics after the best epoch


@cache
def plugins() -> None:
    """Import AllenNLP's plugins and ours once, because searching their folders takes a second."""
    with stage("loading AllenNLP", 1, "package"):
        from allennlp.common.plugins import import_plugins
        from allennlp.common.util import import_module_and_submodules

        import_plugins()
        import_module_and_submodules("elmo_mf.plugin")


def training_device(cuda_device: int | None = None) -> torch.device:
    """Return the device on which AllenNLP trains.

    Args:
        cuda_device: The config's `trainer.cuda_device`; None for the first GPU if there is one, else the CPU.

    Raises:
        InputError: The GPU does not exist.
    """
    from allennlp.common.util import int_to_device

    gpus = torch.cuda.device_count()
    chosen = (0 if gpus else -1) if cuda_device is None else cuda_device
    if not isinstance(chosen, int) or chosen >= gpus:
        raise InputError("trainer.cuda_device", f"found {chosen!r}, expected -1 or the number of one of {gpus} GPUs")
    device: torch.device = int_to_device(chosen)
    return device


def training_loop(config: dict[str, Any], work: str) -> TrainModel:
    """Return AllenNLP's `TrainModel` for a config, with the data loaders and the model.

    Args:
        config: AllenNLP config.
        work: Folder for AllenNLP's files.
    """
    plugins()
    from allennlp.commands.train import TrainModel
    from allennlp.common import Params
    from allennlp.common.util import prepare_environment

    params = Params(copy.deepcopy(config))  # `from_params` empties it
    prepare_environment(params)
    return TrainModel.from_params(params=params, serialization_dir=work, local_rank=0)


class Epochs(Data):
    """Length of a model's training."""

    best_epoch: Count
    """The epoch whose parameters were kept, counted from 0."""
    epoch: Count
    """The last epoch, counted from 0."""


@dataclass(frozen=True)
class Training:
    """Report on a training.

    Attributes:
        epochs: How long it took.
        validation: The metrics on the validation split after the best epoch, by name.
    """

    epochs: Epochs
    validation: dict[str, float]


def train(loop: TrainModel, task: TaskConfig, workspace: Workspace) -> Training:
    """Run the loop, reporting progress and yielding to measurements between batches.

    Args:
        loop: AllenNLP's training loop.
        task: The task.
        workspace: Workspace of the run.

    Returns:
        The epochs, and the loop's metrics on the validation split.
    """
    from allennlp.training.callbacks import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        metric: float | None = None

        def on_batch(
            self,
            trainer: GradientDescentTrainer,
            batch_inputs: Any,
            batch_outputs: Any,
            batch_metrics: dict[str, Any],
            epoch: int,
            batch_number: int,
            is_training: bool,
            *_: Any,
            **__: Any,
        ) -> None:
            if not is_training:
                workspace.machine.yield_to_measurement()
                return
            share = (epoch + min(1.0, batch_number / _length(trainer.data_loader))) / trainer._num_epochs
            workspace.step(Progress("training", share, batch_metrics.get("loss"), self.metric))

        def on_epoch(self, trainer: GradientDescentTrainer, metrics: dict[str, Any], epoch: int, **_: Any) -> None:
            self.metric = metrics.get(f"validation_{task.score.primary}")

    loop.trainer._callbacks.append(Watch(loop.serialization_dir))
    with deterministic():
        metrics: dict[str, Any] = loop.run()
    best = {name.removeprefix(_BEST): value for name, value in metrics.items() if name.startswith(_BEST)}
    return Training(Epochs(best_epoch=metrics["best_epoch"], epoch=metrics["epoch"]), best)


def _length(loader: DataLoader) -> int:
    try:
        return max(1, len(loader))
    except TypeError:  # a lazy reader has no length
        return 1
