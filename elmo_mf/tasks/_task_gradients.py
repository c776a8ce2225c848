"""Gradients of a task's loss with respect to the outputs of the dense encoder's matrices, token by token.

A model with the dense, frozen encoder is trained like any run of the sweep. The gradients are then computed one
training example at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch

from elmo_mf.errors import check_finite
from elmo_mf.tasks._latency import on_its_device
from elmo_mf.tasks._token_gradients import TokenMoments

if TYPE_CHECKING:
    from allennlp.data import DataLoader, Instance
    from allennlp.models import Model

    from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder

VERSION = 2
"""Version of a task's gradients, part of a run's identity; raised when they change."""

EXAMPLES = 400
"""Maximum number of training examples whose gradients are computed."""
_ADVICE = "the task's model did not learn; try another seed or more examples"


def task_moments(
    model: Model,
    embedder: ElmoMfTokenEmbedder,
    loader: DataLoader,
    steps: Callable[[list[Instance]], Iterable[Instance]] = iter,
    with_covariances: bool = True,
) -> TokenMoments:
    """Compute the second moments of the gradients on the first training examples.

    Args:
        model: A trained AllenNLP model.
        embedder: The `elmo_mf` embedder of the model.
        loader: Data loader of the training split.
        steps: Iterates over the examples, reporting progress; by default it does nothing else.
        with_covariances: Whether to compute output covariances beside the row weights. Defaults to True.

    Raises:
        InputError: The loss of an example is not finite.
        RuntimeError: The loss has no gradient in the encoder.
    """
    instances = list(itertools.islice(loader.iter_instances(), EXAMPLES))
    model.eval()
    bilm = embedder.bilm
    embedder.elmo_module.cache = None  # cached activations have no gradients
    bilm.requires_grad_(True)
    moments = TokenMoments(bilm, with_covariances)
    # in evaluation mode, which turns dropout off, cuDNN computes no gradients
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for instance in steps(instances):
            with moments.of_backward():
                loss = _loss(model, instance)
                check_finite("gradients: loss", float(loss.detach()), _ADVICE)
                loss.backward()  # type: ignore[no-untyped-call]
            model.zero_grad()
    bilm.requires_grad_(False)
    if not any(rows.any() for rows in moments.row_weights().rows.values()):
        raise RuntimeError("the loss has no gradient in the encoder")
    return moments


def _loss(model: Model, instance: Instance) -> torch.Tensor:
    from allennlp.data.batch import Batch

    batch = Batch([instance])
    batch.index_instances(model.vocab)
    loss: torch.Tensor = model(**on_its_device(batch.as_tensor_dict(), model))["loss"]
    return loss
