"""AllenNLP's sampled softmax, evaluated in blocks of rows."""

from __future__ import annotations

import torch
from allennlp.modules.sampled_softmax_loss import SampledSoftmaxLoss
from torch import Tensor

from elmo_mf.pretrain._cross_entropy import cross_entropy


class SampledSoftmax(SampledSoftmaxLoss):  # type: ignore[misc]
    """`SampledSoftmaxLoss`, whose evaluation needs no memory for the logits of a whole batch.

    These would be tens of gigabytes for the 793,471 words of the published ELMo.
    """

    def forward(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Compute the summed loss, outside of `torch.autocast`.

        Args:
            embeddings: States, (rows, dim).
            targets: Ids of the words, (rows,).

        Returns:
            In nats, a scalar.
        """
        with torch.autocast(embeddings.device.type, enabled=False):  # it has no forms of its own for other types
            loss: Tensor = super().forward(embeddings, targets)
        return loss

    def _forward_eval(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(embeddings, self.softmax_w, targets, self.softmax_b)
