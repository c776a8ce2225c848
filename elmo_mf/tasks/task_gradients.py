"""The second moments of a task's gradients in the dense encoder's matrices, for methods that weight rows by them.

A model with the dense encoder, frozen, is trained in the task like any run of the sweep; then the gradients of the
encoder's matrices are taken, one training example at a time.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.lstm import BiLstmLayer
from elmo_mf.bilm.weights import TARGETS, Array, Target, to_dense
from elmo_mf.compression.calibration.row_weights import RowWeights
from elmo_mf.errors import check_finite
from elmo_mf.plugin.token_embedder import ElmoMfTokenEmbedder
from elmo_mf.tasks.latency import on_its_device

VERSION = 1
"""Version of a task's gradients, part of a run's identity: raised when they change."""

EXAMPLES = 400
"""Training examples whose gradients are taken, at most."""
_ADVICE = "the task's model did not learn; try another seed or more examples"


def row_weights(model: Any, embedder: ElmoMfTokenEmbedder, loader: Any) -> RowWeights:
    """Each row's sum of E[(dL/dw)^2] over the first training examples, at most 400."""
    instances = list(itertools.islice(loader.iter_instances(), EXAMPLES))
    model.eval()
    bilm = embedder.bilm
    embedder.elmo_module.cache = None  # whose activations have no gradients
    bilm.requires_grad_(True)
    sums: dict[tuple[int, int, str], Any] = {}
    # cuDNN has no gradients in evaluation, where dropout is off
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for instance in instances:
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


def _loss(model: Any, instance: Any) -> torch.Tensor:
    from allennlp.data.batch import Batch

    batch = Batch([instance])
    batch.index_instances(model.vocab)
    loss: torch.Tensor = model(**on_its_device(batch.as_tensor_dict(), model))["loss"]
    return loss


def _squared_gradients(bilm: Bilm) -> Iterator[tuple[tuple[int, int], Target, Array]]:
    """Of every matrix (m, n), by (direction, layer) and target."""
    for layer, module in enumerate(bilm.layers):
        gradients = copy.deepcopy(module)
        assert isinstance(gradients, BiLstmLayer)
        with torch.no_grad():
            for own, parameter in zip(gradients.parameters(), module.parameters(), strict=True):
                own.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
        for direction, lstm in enumerate(gradients.weights()):
            for target in TARGETS:
                yield (direction, layer), target, np.square(to_dense(lstm.matrices[target]).astype(np.float64))
