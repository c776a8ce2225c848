"""AWD-LSTM (Merity, Keskar and Socher 2018) as an AllenNLP model, optionally with a low-rank core."""

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
from elmo_mf.bilm.runtime import packs
from elmo_mf.compression import read_compression
from elmo_mf.lm import CoreLstm, PackedSoftmax, compress_core, core_sizes
from elmo_mf.plugin.stored_shapes import EncoderShapes, StoredShapes, shapes_being_loaded


@Model.register("awd_lstm")
class AwdLstm(Model):  # type: ignore[misc]
    """Language model that predicts each next word of contiguous text and carries its state from batch to batch.

    The last layer has `embedding_dim` cells, because the softmax shares its weights with the embedding. The three
    dropouts after `embedding_dropout` are variational: one mask for all steps of a sequence.

    Args:
        vocab: The words, passed by AllenNLP.
        embedding_dim: Size of the embeddings. Defaults to 400.
        hidden_size: Number of cells of each layer except the last. Defaults to 1150.
        num_layers: Number of LSTM layers. Defaults to 3.
        embedding_dropout: Share of the words whose embedding is dropped wherever they occur in a batch. Defaults to
            0.1.
        input_dropout: Dropout on the embeddings. Defaults to 0.65.
        hidden_dropout: Dropout between the layers. Defaults to 0.3.
        output_dropout: Dropout before the softmax. Defaults to 0.4.
        weight_drop: Share of the recurrent weights that are dropped in training. Defaults to 0.5.
        activation_regularisation: Weight of the mean squared output, after dropout (AR). Defaults to 2.
        temporal_regularisation: Weight of the mean squared difference between consecutive outputs (TAR). Defaults to 1.
        softmax_samples: Number of words that the training loss compares each word with; None for all words.
        compression: Keys of `Compression`, for a core that is low-rank from the start: the random core is factorized
            and its factors are trained.
        kwargs: Those of `Model`.

    Raises:
        InputError: The compression is invalid, or does not fit the core.
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
        """Factorize the core, or rebuild it from the shapes that are stored in the weights being loaded."""
        shapes = shapes_being_loaded(compression, [])
        if shapes is None:
            self.core = compress_core(self.core, read_compression(compression))
        else:
            self.core = shapes.built(lambda weights: CoreLstm(list(weights.lstms.values()), weight_drop))
        self._form = StoredShapes(EncoderShapes.of(self.core.weights(), compression=compression))

    def forward(self, tokens: Tensor, targets: Tensor, start: bool) -> dict[str, Any]:
        """Compute the loss of a batch and keep the state for the next one.

        Args:
            tokens: Word ids, (streams, steps).
            targets: The following word of each token, (streams, steps).
            start: Whether the text begins with this batch, so that the state is reset.

        Returns:
            `loss` in nats per word, with the regularisation terms in training, and `steps`.
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
        """Embed words, with dropout in training.

        Args:
            tokens: Word ids, (streams, steps).

        Returns:
            (streams, steps, embedding_dim).
        """
        weight: Tensor = self.embedding.weight
        if self.training and self.embedding_dropout:
            kept = nn.functional.dropout(weight.new_ones(len(weight), 1), self.embedding_dropout)
            weight = weight * kept
        embedded: Tensor = self.input_dropout(nn.functional.embedding(tokens, weight))
        return embedded

    def logits(self, outputs: Tensor) -> Tensor:
        """Compute the logits of all words.

        Args:
            outputs: Outputs of the last layer, (..., embedding_dim).

        Returns:
            (..., words).
        """
        weight, bias = self._output
        if packs(outputs, self._output):
            return self._packed().logits(outputs)
        return nn.functional.linear(outputs, weight, bias)

    def losses(self, outputs: Tensor, words: Tensor) -> Tensor:
        """Sum the negative log-likelihoods of words.

        Args:
            outputs: Outputs of the last layer, (rows, embedding_dim).
            words: Ids of the words that follow, (rows,).

        Returns:
            In nats, a scalar.
        """
        if packs(outputs, self._output):
            return self._packed().loss(outputs, words)
        return nn.functional.cross_entropy(self.logits(outputs), words, reduction="sum")

    @property
    def _output(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the softmax."""
        return self.embedding.weight, self.softmax.softmax_b

    def _packed(self) -> PackedSoftmax:
        return self._softmax.get(self._output, lambda: PackedSoftmax(*self._output))

    def get_metrics(self, reset: bool = False) -> dict[str, float]:
        """Return the perplexity of the batches since the last reset.

        Args:
            reset: Whether to start anew. Defaults to False.

        Returns:
            `perplexity`, at most exp(100); 0 without any batch.
        """
        perplexity = math.exp(min(self._total / self._words, 100.0)) if self._words else 0.0
        if reset:
            self._total, self._words = 0.0, 0
        return {"perplexity": perplexity}

    def _between(self, outputs: Tensor) -> Tensor:
        return self._dropped(self.hidden_dropout, outputs)

    def _dropped(self, dropout: nn.Module, outputs: Tensor) -> Tensor:
        """Apply dropout to outputs (steps, streams, n); AllenNLP's module expects the streams first."""
        dropped: Tensor = dropout(outputs.transpose(0, 1)).transpose(0, 1)
        return dropped
