"""The language model around the biLM: a softmax over words that both directions share."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.packing import Packing
from elmo_mf.pretrain._corpus import Batch
from elmo_mf.pretrain.word_softmax import word_nats


class Losses(NamedTuple):
    """Negative log-likelihoods in nats, each summed over the `predictions` words of its direction."""

    forward: Tensor
    backward: Tensor
    predictions: int


class _Direction(NamedTuple):
    """States of one direction, (predictions, dim), the words that they predict, and the sentences these are from."""

    states: Tensor
    words: Tensor
    sentences: Tensor


class LanguageModel(nn.Module):
    """Language model that predicts each next word from forward states and each previous word from backward states.

    Args:
        bilm: The encoder, trained in place.
        softmax: See `word_softmax`.
        dropout: Dropout on the states before the softmax.
        mixed: Type of the products in training: the encoder's and, on a CPU, those of an adaptive or full softmax.
            Defaults to the type of the parameters.
    """

    def __init__(self, bilm: Bilm, softmax: nn.Module, dropout: float = 0.0, mixed: torch.dtype | None = None) -> None:
        super().__init__()
        self.bilm = bilm
        self.dropout = nn.Dropout(dropout)
        self.softmax = softmax
        self.mixed = mixed

    def forward(self, batch: Batch, characters: Tensor) -> Losses:
        """Compute the losses of one batch.

        Args:
            batch: Sentences, whose `types` are rows of `characters`.
            characters: Character ids of all distinct words, (distinct words, characters).
        """
        forward, backward = self._predictions(batch, characters)
        with self._autocast() if self.bilm.device.type == "cpu" else nullcontext():
            return Losses(
                self.softmax(forward.states, forward.words),
                self.softmax(backward.states, backward.words),
                batch.predictions,
            )

    def nats(self, batch: Batch, characters: Tensor) -> Tensor:
        """Compute the negative log-likelihood of each sentence in nats, the mean over both directions, (sentences,).

        Args:
            batch: See `forward`.
            characters: See `forward`.
        """
        total = torch.zeros(len(batch.lengths), dtype=torch.float64, device=self.bilm.device)
        for direction in self._predictions(batch, characters):
            of_words = word_nats(self.softmax, direction.states, direction.words)
            total.index_add_(0, direction.sentences, of_words.double() / 2)
        return total

    def _predictions(self, batch: Batch, characters: Tensor) -> tuple[_Direction, _Direction]:
        """Run the encoder over a batch, forward and backward."""
        batch = batch.to(self.bilm.device)
        lengths = batch.lengths.to(self.bilm.device)
        packing = Packing.of(lengths)
        types, inverse = torch.unique(batch.types.flatten()[packing.forward], return_inverse=True)
        with self._autocast():
            tokens = self.bilm.token_layer(characters[types])[inverse]
            top = self.bilm.contextualize(tokens, packing)[-1]
        top = self.dropout(top.float())

        width = batch.types.shape[1]
        position, sentence = packing.forward % width, packing.forward // width
        not_last, not_first = position + 1 < lengths[sentence], position > 0
        words = batch.words.flatten()
        forward, backward = top.chunk(2, dim=1)
        return (
            _Direction(forward[not_last], words[packing.forward[not_last] + 1], sentence[not_last]),
            _Direction(backward[not_first], words[packing.forward[not_first] - 1], sentence[not_first]),
        )

    def _autocast(self) -> AbstractContextManager[None]:
        if self.mixed is None or not self.training:
            return nullcontext()
        return torch.autocast(self.bilm.device.type, self.mixed)


def perplexities(model: LanguageModel, batches: Iterable[Batch], characters: Tensor) -> tuple[float, float]:
    """Compute forward and backward perplexity over batches of whole sentences, without carrying states between them.

    Args:
        model: The language model.
        batches: The batches.
        characters: Ids of the distinct spellings, see `Corpus.characters`.
    """
    was_training, bilm = model.training, model.bilm
    policy, carried = bilm.state_policy, bilm.carried_state
    bilm.state_policy, bilm.carried_state = ("zero" if policy == "carried" else policy), None
    model.eval()
    with torch.no_grad():
        losses = [model(batch, characters) for batch in batches]
    model.train(was_training)
    bilm.state_policy, bilm.carried_state = policy, carried
    count = sum(loss.predictions for loss in losses)
    total_forward = sum(float(loss.forward) for loss in losses)
    total_backward = sum(float(loss.backward) for loss in losses)
    return float(torch.tensor(total_forward / count).exp()), float(torch.tensor(total_backward / count).exp())
