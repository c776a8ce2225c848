"""The language model around the biLM: a softmax over words that both directions share."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from elmo_mf.bilm.bilm import Bilm
from elmo_mf.bilm.packing import Packing
from elmo_mf.pretrain.corpus import Batch

SoftmaxKind = Literal["adaptive", "full", "sampled"]
SOFTMAXES: tuple[SoftmaxKind, ...] = ("adaptive", "full", "sampled")


class Losses(NamedTuple):
    """Negative log-likelihoods in nats, summed over `predictions` of each direction."""

    forward: Tensor
    backward: Tensor
    predictions: int


class LanguageModel(nn.Module):
    """Predict each next word from the forward states and each previous word from the backward states.

    # Parameters
    bilm: the encoder, trained in place.
    n_words: size of the vocabulary, most frequent words first.
    softmax: `adaptive` (Grave et al. 2017, an exact distribution), `full`, or `sampled` (log-uniform candidates in
        training, the full distribution in evaluation).
    dropout: on the states before the softmax.
    """

    def __init__(self, bilm: Bilm, n_words: int, softmax: SoftmaxKind, dropout: float = 0.0) -> None:
        super().__init__()
        self.bilm = bilm
        self.dropout = nn.Dropout(dropout)
        self.softmax = _softmax(softmax, bilm.options.lstm.projection_dim, n_words)

    def forward(self, batch: Batch, characters: Tensor) -> Losses:
        """Losses of one batch; `characters` (distinct words, characters) spells its types."""
        packing = Packing.of(batch.lengths)
        types, inverse = torch.unique(batch.types.flatten()[packing.forward], return_inverse=True)
        tokens = self.bilm.char_cnn(characters[types])[inverse]
        top = self.dropout(self.bilm.contextualize(tokens, packing)[-1])

        position = packing.forward % batch.types.shape[1]
        not_last = position + 1 < batch.lengths[packing.forward // batch.types.shape[1]]
        not_first = position > 0
        words = batch.words.flatten()
        forward, backward = top.chunk(2, dim=1)
        return Losses(
            self.softmax(forward[not_last], words[packing.forward[not_last] + 1]),
            self.softmax(backward[not_first], words[packing.forward[not_first] - 1]),
            int(not_last.sum()),
        )


class _AdaptiveSoftmax(nn.AdaptiveLogSoftmaxWithLoss):
    def forward(self, states: Tensor, words: Tensor) -> Tensor:  # type: ignore[override]
        log_likelihoods: Tensor = super().forward(states, words).output
        return -log_likelihoods.sum()


class _FullSoftmax(nn.Linear):
    def forward(self, states: Tensor, words: Tensor) -> Tensor:  # type: ignore[override]
        return nn.functional.cross_entropy(super().forward(states), words, reduction="sum")


def _softmax(kind: SoftmaxKind, dim: int, n_words: int) -> nn.Module:
    if kind == "adaptive":
        cutoffs = [cut for cut in (2000, 10000) if cut < n_words - 1] or [n_words // 2]
        return _AdaptiveSoftmax(dim, n_words, cutoffs, div_value=2.0)
    if kind == "full":
        return _FullSoftmax(dim, n_words)
    from allennlp.modules.sampled_softmax_loss import SampledSoftmaxLoss

    sampled: nn.Module = SampledSoftmaxLoss(n_words, dim, num_samples=min(4096, n_words - 1), sparse=False)
    return sampled


def perplexities(model: LanguageModel, batches: list[Batch], characters: Tensor) -> tuple[float, float]:
    """Forward and backward perplexity over `batches`."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        losses = [model(batch, characters) for batch in batches]
    model.train(was_training)
    count = sum(loss.predictions for loss in losses)
    total_forward = sum(float(loss.forward) for loss in losses)
    total_backward = sum(float(loss.backward) for loss in losses)
    return float(torch.tensor(total_forward / count).exp()), float(torch.tensor(total_backward / count).exp())
