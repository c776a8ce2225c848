"""Fine-tuning of a compressed language model on its task's text."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch

from elmo_mf.determinism import deterministic
from elmo_mf.errors import check_finite
from elmo_mf.experiments import Progress, Workspace
from elmo_mf.records.compression import FineTuning

if TYPE_CHECKING:
    from allennlp.data import DataLoader

    from elmo_mf.plugin.awd_lstm import AwdLstm

VERSION = 1
"""Version of fine-tuning, part of a run's identity; raised when its result changes."""

_ADVICE = "try a lower finetune.learning_rate"


@deterministic()
def finetune(
    model: AwdLstm, loader: DataLoader, config: dict[str, Any], settings: FineTuning, workspace: Workspace
) -> None:
    """Train a language model by Adam, with a learning rate that falls linearly to zero.

    Args:
        model: The language model, in evaluation mode before and after.
        loader: Batches of the training text.
        config: AllenNLP config of the run, for its seeds and the largest norm of the gradients.
        settings: Epochs and learning rate.
        workspace: Receives the progress.

    Raises:
        InputError: The loss is not finite.
    """
    from allennlp.common import Params
    from allennlp.common.util import prepare_environment
    from torch.nn.utils import clip_grad_norm_

    prepare_environment(Params({key: config[key] for key in ("random_seed", "numpy_seed", "pytorch_seed")}))
    model.train()
    steps = settings.epochs * len(loader)
    optimizer = torch.optim.Adam(model.parameters(), settings.learning_rate, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
    for step, batch in enumerate(itertools.chain.from_iterable(loader for _ in range(settings.epochs))):
        loss = model(**batch)["loss"]
        optimizer.zero_grad()
        check_finite(f"fine-tuning: step {step + 1}: loss", float(loss.detach()), _ADVICE)
        loss.backward()
        clip_grad_norm_(model.parameters(), config["trainer"]["grad_norm"])
        optimizer.step()
        scheduler.step()
        workspace.step(Progress("training", min(1.0, step / steps), float(loss.detach())))
    model.eval().get_metrics(reset=True)
