"""AWD-LSTM (Merity, Keskar and Socher 2018) as an AllenNLP model, whose core may be low-rank."""

from __future__ import annotations

import math
from typing import Any

from allennlp.data import Vocabulary
from allennlp.models import Model
from allennlp.modules.input_variational_dropout import InputVariationalDropout
from allennlp.modules.sampled_softmax_loss import SampledSoftmaxLoss
from torch import Tensor, nn

from elmo_mf.bilm.derived_cache import DerivedCache
from elmo_mf.bilm.packing import State
from elmo_mf.bilm.runtime.packed_linear import packs
from elmo_mf.compression import read_compression
from elmo_mf.lm.compress import compress_core
from elmo_mf.lm.core import CoreLstm, core_sizes
from elmo_mf.lm.softmax import PackedSoftmax
from elmo_mf.plugin.stored_form import Form, StoredForm, form_being_loaded


@Model.register("awd_lstm")
class AwdLstm(Model):  # type: ignore[misc]
    """Predicts each next word of contiguous text, batch after batch, with the state kept in between.

    The last layer's cells are as many as an embedding has numbers, and the softmax's weights are the embeddings.

    Args:
        embedding_dim: sizes.
        hidden_size: sizes.
        num_layers: sizes.
        embedding_dropout: share of the words whose embedding is dropped, wherever they occur in a batch.
        input_dropout: variational, one mask for all steps; on embeddings, between layers, and before the softmax.
        hidden_dropout: variational, one mask for all steps; on embeddings, between layers, and before the softmax.
        output_dropout: variational, one mask for all steps; on embeddings, between layers, and before the softmax.
        weight_drop: share of the recurrent weights that are dropped in training.
        activation_regularisation: weight of the mean squared output, after dropout (AR).
        temporal_regularisation: weight of the mean squared difference between an output and the next (TAR).
        softmax_samples: words that the loss in training compares a word with; None for all.
        compression: low-rank from the start: the random core is factorized, and its factors learn. Keys of
            `Compression`.
    """

    def __init__(
        self,
        vocab: Vocabulary,
        embedding_dim: int = 400,
        hidden_size: int = 1150,
        num_layers: int = 3,
        embedding_dropout: float = 0.1,
        input_dropout: float = 0.65,
        hidden_dropout: float = 0.3,
        output_dropout: float = 0.4,
        weight_drop: float = 0.5,
        activation_regularisation: float = 2.0,
        temporal_regularisation: float = 1.0,
        softmax_samples: int | None = None,
        compression: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocab, **kwargs)
        n_words = vocab.get_vocab_size()
        self.embedding = nn.Embedding(n_words, embedding_dim)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.core = CoreLstm.random(core_sizes(embedding_dim, hidden_size, num_layers), weight_drop)
        if compression is not None:
            self._compress(compression, weight_drop)
        self.embedding_dropout = embedding_dropout
        self.input_dropout, self.hidden_dropout, self.output_dropout = (
            InputVariationalDropout(share) for share in (input_dropout, hidden_dropout, output_dropout)
        )
        self.regularisation = activation_regularisation, temporal_regularisation
        samples = n_words - 1 if softmax_samples is None else min(softmax_samples, n_words - 1)
        self.sampled = softmax_samples is not None
        self.softmax = SampledSoftmaxLoss(n_words, embedding_dim, num_samples=samples, sparse=False)
        self.softmax.softmax_w = self.embedding.weight
        self._softmax = DerivedCache[PackedSoftmax]()
        self._state: list[State] | None = None
        self._total, self._words = 0.0, 0

    def _compress(self, compression: dict[str, Any], weight_drop: float) -> None:
        """Factorize the core, or give it the form that it had when it was stored."""
        form = form_being_loaded(compression, [])
        if form is None:
            self.core = compress_core(self.core, read_compression(compression))
        else:
            self.core = form.built(lambda weights: CoreLstm(list(weights.lstms.values()), weight_drop))
        self._form = StoredForm(Form.of(self.core.weights(), compression=compression))

    def forward(self, tokens: Tensor, targets: Tensor, start: bool) -> dict[str, Any]:
        """`tokens` and `targets` (streams, steps); `start` says that the text begins here.

        Returns:
            `loss`, nats a word, regularised in training; and `steps`.
        """
        state = None if start else self._state
        raw, after = self.core(self.embed(tokens).transpose(0, 1), state, self._between if self.training else None)
        self._state = [(h.detach(), c.detach()) for h, c in after]
        output = self._dropped(self.output_dropout, raw[-1])
        last, words = output.flatten(0, 1), targets.transpose(0, 1).flatten()
        losses = self.softmax(last, words) if self.training and self.sampled else self.losses(last, words)
        self._total, self._words = self._total + float(losses.detach()), self._words + targets.numel()
        loss = losses / targets.numel()
        if self.training:
            activation, temporal = self.regularisation
            loss = loss + activation * output.square().mean()
            if len(output) > 1:
                loss = loss + temporal * (raw[-1][1:] - raw[-1][:-1]).square().mean()
        return {"loss": loss, "steps": tokens.shape[1]}

    def embed(self, tokens: Tensor) -> Tensor:
        """(streams, steps) to (streams, steps, embedding_dim), dropped out in training."""
        weight: Tensor = self.embedding.weight
        if self.training and self.embedding_dropout:
            kept = nn.functional.dropout(weight.new_ones(len(weight), 1), self.embedding_dropout)
            weight = weight * kept
        embedded: Tensor = self.input_dropout(nn.functional.embedding(tokens, weight))
        return embedded

    def logits(self, outputs: Tensor) -> Tensor:
        """Of the last layer's outputs (..., embedding_dim): (..., words)."""
        weight, bias = self._output
        if packs(outputs, self._output):
            return self._packed().logits(outputs)
        return nn.functional.linear(outputs, weight, bias)

    def losses(self, outputs: Tensor, words: Tensor) -> Tensor:
        """The summed negative log-likelihood, in nats, of words (rows,) after outputs (rows, embedding_dim)."""
        if packs(outputs, self._output):
            return self._packed().loss(outputs, words)
        return nn.functional.cross_entropy(self.logits(outputs), words, reduction="sum")

    @property
    def _output(self) -> tuple[Tensor, Tensor]:
        """The softmax's weight and bias."""
        return self.embedding.weight, self.softmax.softmax_b

    def _packed(self) -> PackedSoftmax:
        return self._softmax.get(self._output, lambda: PackedSoftmax(*self._output))

    def get_metrics(self, reset: bool = False) -> dict[str, float]:
        perplexity = math.exp(min(self._total / self._words, 100.0)) if self._words else 0.0
        if reset:
            self._total, self._words = 0.0, 0
        return {"perplexity": perplexity}

    def _between(self, outputs: Tensor) -> Tensor:
        return self._dropped(self.hidden_dropout, outputs)

    def _dropped(self, dropout: nn.Module, outputs: Tensor) -> Tensor:
        """Of (steps, streams, n); AllenNLP's dropout has the streams first."""
        dropped: Tensor = dropout(outputs.transpose(0, 1)).transpose(0, 1)
        return dropped
