"""The arithmetic of AllenNLP's `_ElmoCharacterEncoder`, in place of its method `forward`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from allennlp.modules.elmo import _ElmoBiLm, _ElmoCharacterEncoder
from allennlp.modules.highway import Highway
from allennlp.nn.util import add_sentence_boundary_token_ids
from torch import Tensor, nn

from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.derived_cache import DerivedCache
from elmo_mf.bilm.options import CharCnnOptions
from elmo_mf.bilm.word_vectors import WordVectors
from elmo_mf.drop_in._counterpart import counterpart, forget, is_plain, suit

_stock_forward = _ElmoCharacterEncoder.forward
_stock_create_cached = _ElmoBiLm.create_cached_cnn_embeddings


def encoder_forward(self: Any, inputs: Tensor) -> dict[str, Tensor]:
    """Compute `_ElmoCharacterEncoder.forward`."""
    if not _replaces(self):
        return _stock_forward(self, inputs)  # type: ignore[no-any-return]
    ids, mask = add_sentence_boundary_token_ids(
        inputs,
        (inputs > 0).sum(dim=-1) > 0,
        self._beginning_of_sentence_characters,
        self._end_of_sentence_characters,
    )
    options = _options(self)
    cnn = counterpart(self, (options, self.output_dim), lambda: _Tokens(_zeros(options, self.output_dim)))
    rows = ids.view(-1, options.max_characters_per_token).long()
    vectors = cnn(_parameters(self), lambda: _derived(self), rows)
    return {"mask": mask, "token_embedding": vectors.view(*ids.shape[:2], -1)}


def create_cached_cnn_embeddings(self: Any, tokens: list[str]) -> None:
    """Compute `_ElmoBiLm.create_cached_cnn_embeddings`, and keep nothing else.

    It runs before weights are loaded into a model, which may be done where PyTorch does not count it.
    """
    _stock_create_cached(self, tokens)
    forget(self._token_embedder)


class _Tokens(nn.Module):
    """The vectors of all tokens of a padded batch, with those of the padding, which are not zero."""

    def __init__(self, cnn: CharCnn) -> None:
        super().__init__()
        self.cnn = cnn
        self._words = WordVectors()
        self._padding = DerivedCache[Tensor]()

    def forward(self, ids: Tensor) -> Tensor:
        """Turn character ids (tokens, characters) into vectors (tokens, p)."""
        used = ids.any(dim=1)
        if used.all():
            return self._words(self.cnn, ids)  # type: ignore[no-any-return]
        vectors = self._words(self.cnn, ids[used])
        places = used.cumsum(0).masked_fill(~used, 0)  # 0 is the padding's
        return torch.cat([self._padding_vector(ids), vectors])[places]

    def _padding_vector(self, ids: Tensor) -> Tensor:
        parameters = list(self.cnn.parameters())
        blank = ids.new_zeros(1, ids.shape[1])
        if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters):
            return self.cnn(blank)  # type: ignore[no-any-return]
        return self._padding.get(parameters, lambda: self._constant(blank))

    @torch.inference_mode(False)
    @torch.no_grad()
    def _constant(self, blank: Tensor) -> Tensor:
        return self.cnn(blank)  # type: ignore[no-any-return]


def _replaces(encoder: Any) -> bool:
    layers = [*_convolutions(encoder), *encoder._highways._layers, encoder._projection]
    kinds = [*[nn.Conv1d] * len(encoder._convolutions), *[nn.Linear] * (len(encoder._highways._layers) + 1)]
    if not all(map(is_plain, layers, kinds)) or not is_plain(encoder._highways, Highway):
        return False
    if encoder._highways._activation is not nn.functional.relu:
        return False
    return encoder._options["char_cnn"]["activation"] in ("relu", "tanh") and suit(_parameters(encoder))


def _convolutions(encoder: Any) -> list[Any]:
    return [encoder._modules[f"char_conv_{index}"] for index in range(len(encoder._convolutions))]


def _parameters(encoder: Any) -> list[Tensor]:
    layers = [*_convolutions(encoder), *encoder._highways._layers, encoder._projection]
    return [encoder._char_embedding_weights, *(part for layer in layers for part in (layer.weight, layer.bias))]


def _options(encoder: Any) -> CharCnnOptions:
    characters, width = encoder._char_embedding_weights.shape
    return CharCnnOptions(
        embedding_dim=width,
        filters=tuple((conv.kernel_size[0], conv.out_channels) for conv in _convolutions(encoder)),
        n_highway=len(encoder._highways._layers),
        activation=encoder._options["char_cnn"]["activation"],
        n_characters=characters - 1,
        max_characters_per_token=encoder._options["char_cnn"]["max_characters_per_token"],
    )


def _zeros(options: CharCnnOptions, projection_dim: int) -> CharCnn:
    shapes: dict[str, Sequence[int]] = {"char_embed": (options.n_characters, options.embedding_dim)}
    n = options.n_filters
    for index, (width, number) in enumerate(options.filters):
        shapes |= {f"CNN/W_cnn_{index}": (1, width, options.embedding_dim, number), f"CNN/b_cnn_{index}": (number,)}
    for index in range(options.n_highway):
        for gate in ("carry", "transform"):
            shapes |= {f"CNN_high_{index}/W_{gate}": (n, n), f"CNN_high_{index}/b_{gate}": (n,)}
    shapes |= {"CNN_proj/W_proj": (n, projection_dim), "CNN_proj/b_proj": (projection_dim,)}
    return CharCnn(options, projection_dim, {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})


def _derived(encoder: Any) -> dict[str, Tensor]:
    """The parameters of `_Tokens`."""
    derived = {"cnn.embedding": encoder._char_embedding_weights}
    for index, convolution in enumerate(_convolutions(encoder)):
        derived |= {f"cnn.convolutions.{index}.{name}": getattr(convolution, name) for name in ("weight", "bias")}
    for index, layer in enumerate(encoder._highways._layers):
        derived |= {f"cnn.highways.{index}.{name}": _carried(getattr(layer, name)) for name in ("weight", "bias")}
    derived |= {f"cnn.projection.{name}": getattr(encoder._projection, name) for name in ("weight", "bias")}
    return derived


def _carried(highway: Tensor) -> Tensor:
    """Return AllenNLP's highway layer with the carry gate rewritten as a transform gate."""
    transform, kept = highway.chunk(2)
    return torch.cat([-kept, transform])
