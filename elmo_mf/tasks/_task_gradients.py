"""Row weights of the dense encoder's matrices from the gradients of a task's loss.

A model with the dense, frozen encoder is trained like any run of the sweep. The gradients of the encoder's matrices are
then computed one training example at a time.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.lstm import BiLstmLayer
from elmo_mf.bilm.weights import TARGETS, Array, Target, to_dense
from elmo_mf.compression.calibration import RowWeights
from elmo_mf.errors import check_finite
from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder
from elmo_mf.tasks._latency import on_its_device

if TYPE_CHECKING:
    from allennlp.data import DataLoader, Instance
    from allennlp.models import Model

VERSION = 1
"""Version of a task's gradients, part of a run's identity; raised when they change."""

EXAMPLES = 400
"""Maximum number of training examples whose gradients are computed."""
_ADVICE = "the task's model did not learn; try another seed or more examples"


def row_weights(
    model: Model,
    embedder: ElmoMfTokenEmbedder,
    loader: DataLoader,
    steps: Callable[[list[Instance]], Iterable[Instance]] = iter,
) -> RowWeights:
    """Compute E[(dL/dw)^2], summed over each row of each matrix, on the first training examples.

    Args:
        model: A trained AllenNLP model.
        embedder: The `elmo_mf` embedder of the model.
        loader: Data loader of the training split.
        steps: Iterates over the examples, reporting progress; by default it does nothing else.

    Raises:
        InputError: The loss of an example is not finite.
        RuntimeError: The loss has no gradient in the encoder.
    """
    instances = list(itertools.islice(loader.iter_instances(), EXAMPLES))
    model.eval()
    bilm = embedder.bilm
    embedder.elmo_module.cache = None  # cached activations have no gradients
    bilm.requires_grad_(True)
    sums: dict[tuple[int, int, str], Any] = {}
    # in evaluation mode, which turns dropout off, cuDNN computes no gradients
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for instance in steps(instances):
            bilm.zero_grad()
            loss = _loss(model, instance)
            check_finite("gradients: loss", float(loss.detach()), _ADVICE)
            loss.backward()  # type: ignore[no-untyped-call]
            for key, target, squares in _squared_gradients(bilm):
                sums[(*key, target)] = sums.get((*key, target), 0) + squares.sum(axis=1)
    bilm.requires_grad_(False)
    bilm.zero_grad()
    if not any(total.any() for total in sums.values()):
        raise RuntimeError("the loss has no gradient in the encoder")
    return RowWeights({key: total / len(instances) for key, total in sums.items()})


def _loss(model: Model, instance: Instance) -> torch.Tensor:
    from allennlp.data.batch import Batch

    batch = Batch([instance])
    batch.index_instances(model.vocab)
    loss: torch.Tensor = model(**on_its_device(batch.as_tensor_dict(), model))["loss"]
    return loss


def _squared_gradients(bilm: Bilm) -> Iterator[tuple[tuple[int, int], Target, Array]]:
    """Yield the squared gradients (m, n) of each matrix, with its (direction, layer) and target."""
    for layer, module in enumerate(bilm.layers):
        gradients = copy.deepcopy(module)
        assert isinstance(gradients, BiLstmLayer)
        with torch.no_grad():
            for gradient, parameter in zip(gradients.parameters(), module.parameters(), strict=True):
                gradient.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
        for direction, lstm in enumerate(gradients.weights()):
            for target in TARGETS:
                yield (direction, layer), target, np.square(to_dense(lstm.matrices[target]).astype(np.float64))
