"""Forward passes over a text with other weights, from the first layer that differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.bilm.config import BilmOptions
from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.lstm import ProjectedLstm, run_layers
from elmo_mf.bilm.packing import Packing
from elmo_mf.bilm.weights import Array, BilmWeights, LstmWeights
from elmo_mf.bilm.word_vectors import WordVectors
from elmo_mf.compression.calibration.input_covariances import batches

_BATCH_TOKENS = 5000


class PartialForward:
    """Stored activations of dense weights on a text, with which the activations of many others are compared.

    For other weights, token vectors are computed again if the character CNN differs, and layers run from the first one
    that differs, in the directions that differ: the two directions of an ELMo do not read each other. Objects are
    compared by identity.

    Args:
        weights: Weights of the dense encoder.
        options: Its options.
        sentences: Tokenised sentences.
    """

    @torch.no_grad()
    def __init__(self, weights: BilmWeights, options: BilmOptions, sentences: Sequence[list[str]]) -> None:
        self.weights, self.options = weights, options
        bilm = Bilm(options, weights).eval()
        self.passages = [_Passage.read(bilm, batch) for batch in batches(sentences, _BATCH_TOKENS)]

    @torch.no_grad()
    def squared_errors(self, weights: BilmWeights) -> Array:
        """The squared error (|other - dense|_F / |dense|_F)^2 of each biLSTM layer over the tokens, (n_layers,)."""
        errors = np.zeros(self.options.lstm.n_layers)
        cnn = None if weights.char_cnn is self.weights.char_cnn else self._char_cnn(weights)
        for direction in (0, 1):
            first = weights.first_other_layer(self.weights, direction) if cnn is None else 0
            lstms = [self._lstm(weights, direction, layer) for layer in range(first, len(errors))]
            for passage in self.passages:
                stacked = (passage.layers[first] if cnn is None else passage.token_vectors(cnn))[[direction]]
                skips, sizes = self.options.lstm.use_skip_connections, passage.packing.batch_sizes
                outputs, _ = run_layers(lstms, stacked, sizes, None, skips, first)
                for layer, output in enumerate(outputs, first):
                    errors[layer] += passage.squared_norm(output - passage.layers[layer + 1][[direction]])
        return np.asarray(errors / self._norms)

    def _char_cnn(self, weights: BilmWeights) -> CharCnn:
        return CharCnn(self.options.char_cnn, self.options.lstm.projection_dim, weights.char_cnn).eval()

    def _lstm(self, weights: BilmWeights, direction: int, layer: int) -> ProjectedLstm:
        lstm = weights.lstms[direction, layer]
        same = lstm is self.weights.lstms[direction, layer]
        return self._dense[direction, layer] if same else self._module(lstm)

    @cached_property
    def _dense(self) -> dict[tuple[int, int], ProjectedLstm]:
        return {key: self._module(lstm) for key, lstm in self.weights.lstms.items()}

    def _module(self, lstm: LstmWeights) -> ProjectedLstm:
        return ProjectedLstm([lstm], self.options.lstm.cell_clip, self.options.lstm.proj_clip).eval()

    @cached_property
    def _norms(self) -> Array:
        """The squared norm |dense|_F^2 of each biLSTM layer."""
        squares = [[passage.squared_norm(layer) for layer in passage.layers[1:]] for passage in self.passages]
        return np.asarray(np.sum(squares, axis=0))


@dataclass(frozen=True)
class _Passage:
    """Activations of a batch of sentences.

    Attributes:
        packing: Packing of the sentences with the tokens that begin and end them.
        ids: Character ids in packed order, (tokens, characters).
        words: Which tokens are words, not ends of sentences, (tokens,); the same in both directions.
        layers: Token vectors and each layer's outputs in the order in which each direction reads, (2, tokens, p).
    """

    packing: Packing
    ids: Tensor
    words: Tensor
    layers: list[Tensor]

    @classmethod
    def read(cls, bilm: Bilm, sentences: Sequence[list[str]]) -> _Passage:
        ids, lengths = bilm.with_bounds(batch_to_ids(sentences, bilm.options.char_cnn.max_characters_per_token))
        packing = Packing.of(lengths, ids.shape[1])
        steps = torch.arange(ids.shape[1], device=ids.device)
        words = packing.pack((steps > 0) & (steps < lengths.unsqueeze(1) - 1))
        ids = packing.pack(ids)
        stacked = _token_vectors(bilm.char_cnn, ids, packing)
        outputs, _ = bilm.run_layers(stacked, packing.batch_sizes, None)
        return cls(packing, ids, words, [stacked, *outputs])

    def token_vectors(self, cnn: CharCnn) -> Tensor:
        """Token vectors of another character CNN."""
        return _token_vectors(cnn, self.ids, self.packing)

    def squared_norm(self, vectors: Tensor) -> float:
        """Squared norm over the words of vectors (directions, tokens, p)."""
        return float(vectors[:, self.words].double().square().sum())


def _token_vectors(cnn: CharCnn, ids: Tensor, packing: Packing) -> Tensor:
    """Token vectors in the order in which each direction reads, (2, tokens, p)."""
    tokens = WordVectors()(cnn, ids)
    return torch.stack([tokens, tokens[packing.flip]])
