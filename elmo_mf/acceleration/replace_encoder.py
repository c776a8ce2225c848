"""Put this project's encoder in the place of AllenNLP's inside a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from allennlp.modules.elmo import Elmo, _ElmoBiLm
from torch import nn

from elmo_mf.acceleration._stock import ENCODER, StockSettings, options_of, stock_elmos, weights_of
from elmo_mf.bilm.encoder import Bilm, StatePolicy
from elmo_mf.bilm.runtime import Precision
from elmo_mf.compression import compress_elmo, with_history
from elmo_mf.errors import InputError
from elmo_mf.plugin.token_embedder import ElmoModule
from elmo_mf.records import Compression

if TYPE_CHECKING:
    from allennlp.models import Model


@dataclass(frozen=True)
class EncoderSettings:
    """Settings of an encoder in the place of AllenNLP's.

    Attributes:
        compression: How it is compressed; None leaves its weights unchanged.
        precision: Precision of its products in inference, see `Bilm`. Defaults to float32.
        state: State policy, see `Bilm`. Defaults to `carried`, which is AllenNLP's.
        word_cache_mb: Memory in MB for word vectors, see `Bilm`; 0 for an encoder that is trained. Defaults to 64.
    """

    compression: Compression | None = None
    precision: Precision = "float32"
    state: StatePolicy = "carried"
    word_cache_mb: float = 64

    @property
    def unchanged(self) -> bool:
        """Whether the encoder computes what AllenNLP's does, except for rounding."""
        return self.compression is None and self.precision == "float32" and self.state == "carried"

    @property
    def dense(self) -> EncoderSettings:
        """The same without compression, in float32."""
        return replace(self.in_float32, compression=None)

    @property
    def in_float32(self) -> EncoderSettings:
        """The same in float32."""
        return replace(self, precision="float32")


def accelerate(
    model: Model,
    compression: Compression | None = None,
    precision: Precision = "float32",
    state: StatePolicy = "carried",
    word_cache_mb: float = 64,
) -> list[str]:
    """Replace the encoder of every ELMo in a loaded AllenNLP model, in place, by this project's.

    The weights are those of the model, fine-tuned or not. Mixture, projection, dropout and all else stay unchanged, and
    without a compression so do the predictions.

    Args:
        model: A `Model` or a `Predictor` of AllenNLP, or any module with an `Elmo` or an `ElmoTokenEmbedder` in it.
        compression: How the encoders are compressed; None leaves their weights unchanged.
        precision: Precision of the encoder's products in inference, see `Bilm`. Defaults to float32.
        state: State policy, see `Bilm`: `carried`, as in AllenNLP, or `zero` for vectors that depend on the sentence
            alone. Defaults to `carried`.
        word_cache_mb: Memory in MB for the vectors of words, see `Bilm`. Unused in an encoder that is trained. Defaults
            to 64.

    Returns:
        The paths of the modules `Elmo` whose encoder was replaced.

    Raises:
        InputError: There is no ELMo with AllenNLP's encoder in the model, or the compression does not fit it.

    Examples:
        >>> from allennlp.modules.token_embedders import ElmoTokenEmbedder
        >>> from elmo_mf import accelerate
        >>> from elmo_mf.resources import demo_options, demo_weights
        >>> model = ElmoTokenEmbedder(str(demo_options()), str(demo_weights()))  # or any model with one in it
        >>> accelerate(model)
        ['_elmo']
    """
    module = getattr(model, "_model", model)  # a predictor's
    if not isinstance(module, nn.Module):
        raise InputError("model", f"found {type(model).__name__}, expected a model or a predictor of AllenNLP")
    elmos = stock_elmos(module)
    if not elmos:
        raise InputError(
            "model", f"found a {type(module).__name__} without AllenNLP's ELMo, expected a model that contains it"
        )
    settings = EncoderSettings(compression, precision, state, word_cache_mb)
    encoders = {path: fast_encoder(getattr(elmo, ENCODER), settings, path) for path, elmo in elmos.items()}
    for path, elmo in elmos.items():
        put(elmo, encoders[path])
    return list(elmos)


def put(elmo: Elmo, encoder: Bilm) -> None:
    """Replace the encoder of a module `Elmo`.

    Args:
        elmo: The module, which is changed.
        encoder: The new encoder.
    """
    setattr(elmo, ENCODER, ElmoModule(encoder, None).train(encoder.training))


def fast_encoder(stock: _ElmoBiLm, settings: EncoderSettings, where: str = "encoder") -> Bilm:
    """Convert AllenNLP's encoder, and compress it.

    Args:
        stock: The encoder, which stays unchanged.
        settings: How the result runs.
        where: Its place in a model, for errors. Defaults to `encoder`.

    Returns:
        An encoder on the same device, in the same mode, trained if the given one is.

    Raises:
        InputError: The encoder has trained word vectors; or see `weights_of` and `compress`.
    """
    trained = any(parameter.requires_grad for parameter in stock.parameters())
    if trained and stock._word_embedding is not None:
        raise InputError(
            where, "found trained word vectors (vocab_to_cache), expected vectors computed from characters"
        )
    parameters = stock.state_dict()
    options = options_of(
        {name: value.shape for name, value in parameters.items()}, StockSettings.of_module(stock), where
    )
    weights = weights_of(parameters, options)
    if settings.compression is not None:
        compressed = compress_elmo(weights, options, settings.compression)
        applied = compressed.applied(settings.compression)
        weights, options = compressed.weights, with_history(compressed.options, applied)
    word_cache_mb = 0 if trained else settings.word_cache_mb
    encoder = Bilm(options, weights, settings.state, word_cache_mb, settings.precision).train(stock.training)
    return encoder.requires_grad_(trained).to(next(stock.parameters()).device)
