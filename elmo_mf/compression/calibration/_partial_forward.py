"""Forward passes over a text with other weights, from the first layer that differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.lstm import ProjectedLstm, run_layers
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.packing import Packing
from elmo_mf.bilm.token_layer import TokenLayer
from elmo_mf.bilm.token_layers import token_layer
from elmo_mf.bilm.weights import Array, BilmWeights, LstmWeights
from elmo_mf.bilm.word_vectors import WordVectors
from elmo_mf.compression.calibration._input_covariances import (
    InputCovariances,
    PairedCovariances,
    RecordedInputs,
    batches,
)

_BATCH_TOKENS = 5000


class PartialForward:
    """Stored activations of dense weights on a text, with which the activations of many others are compared.

    For other weights, token vectors are computed again if the token layer differs, and layers run from the first one
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
        same = weights.token_layer is self.weights.token_layer
        layer = None if same else token_layer(self.options, weights).eval()
        for direction in (0, 1):
            first = weights.first_other_layer(self.weights, direction) if layer is None else 0
            lstms = [self._lstm(weights, direction, k) for k in range(first, len(errors))]
            for passage in self.passages:
                read = passage.layers[first] if layer is None else passage.token_vectors(layer)
                stacked = read[[direction]]
                skips, sizes = self.options.lstm.use_skip_connections, passage.packing.batch_sizes
                outputs, _ = run_layers(lstms, stacked, sizes, None, skips, first)
                for k, output in enumerate(outputs, first):
                    errors[k] += passage.squared_norm(output - passage.layers[k + 1][[direction]])
        return np.asarray(errors / self._norms)

    def paired_covariances(self, weights: BilmWeights, layer: int) -> dict[tuple[int, int], PairedCovariances]:
        """Compute second moments of the inputs that a layer's matrices have with other weights and with the dense ones.

        Args:
            weights: The other weights.
            layer: Number of the layer.

        Returns:
            The moments by (direction, layer), for this layer.
        """
        return {(direction, layer): self._paired(weights, direction, layer) for direction in (0, 1)}

    def _paired(self, weights: BilmWeights, direction: int, layer: int) -> PairedCovariances:
        dense, other = self._dense[direction, layer], self._lstm(weights, direction, layer)
        compressed, cross = dict[str, Array](), dict[str, Array]()
        tokens = 0
        for passage, read in zip(self.passages, self._inputs(weights, direction, layer), strict=True):
            sizes = passage.packing.batch_sizes
            with RecordedInputs([dense, other]) as recorded:
                dense(passage.layers[layer][[direction]], sizes, None)
                expected = recorded.take(dense)
                other(read, sizes, None)
                taken_inputs = recorded.take(other)
            for name, (rows,) in taken_inputs.items():
                compressed[name] = compressed.get(name, 0) + (rows.T @ rows).double().numpy()
                cross[name] = cross.get(name, 0) + (expected[name][0].T @ rows).double().numpy()
            tokens += read.shape[1]
        width, nothing = read.shape[2], np.empty((0, 0))
        return PairedCovariances(
            *(
                InputCovariances(sums["gates"] / tokens, sums.get("cells", nothing) / tokens, width)
                for sums in (compressed, cross)
            )
        )

    @torch.no_grad()
    def _inputs(self, weights: BilmWeights, direction: int, layer: int) -> Iterator[Tensor]:
        """Inputs of a layer with other weights, (1, tokens, p) for each passage."""
        same = weights.token_layer is self.weights.token_layer
        tokens = None if same else token_layer(self.options, weights).eval()
        first = min(layer, weights.first_other_layer(self.weights, direction)) if same else 0
        lstms = [self._lstm(weights, direction, k) for k in range(first, layer)]
        for passage in self.passages:
            read = passage.layers[first] if tokens is None else passage.token_vectors(tokens)
            skips, sizes = self.options.lstm.use_skip_connections, passage.packing.batch_sizes
            outputs, _ = run_layers(lstms, read[[direction]], sizes, None, skips, first)
            yield outputs[-1] if outputs else read[[direction]]

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
        ids: Ids in packed order, (tokens, width).
        words: Which tokens are words, not ends of sentences, (tokens,); the same in both directions.
        layers: Token vectors and each layer's outputs in the order in which each direction reads, (2, tokens, p).
    """

    packing: Packing
    ids: Tensor
    words: Tensor
    layers: list[Tensor]

    @classmethod
    def read(cls, bilm: Bilm, sentences: Sequence[list[str]]) -> _Passage:
        ids, lengths = bilm.with_bounds(bilm.token_ids(sentences))
        packing = Packing.of(lengths, ids.shape[1])
        steps = torch.arange(ids.shape[1], device=ids.device)
        words = packing.pack((steps > 0) & (steps < lengths.unsqueeze(1) - 1))
        ids = packing.pack(ids)
        stacked = _token_vectors(bilm.token_layer, ids, packing)
        outputs, _ = bilm.run_layers(stacked, packing.batch_sizes, None)
        return cls(packing, ids, words, [stacked, *outputs])

    def token_vectors(self, layer: TokenLayer) -> Tensor:
        """Token vectors of another token layer."""
        return _token_vectors(layer, self.ids, self.packing)

    def squared_norm(self, vectors: Tensor) -> float:
        """Squared norm over the words of vectors (directions, tokens, p)."""
        return float(vectors[:, self.words].double().square().sum())


def _token_vectors(layer: TokenLayer, ids: Tensor, packing: Packing) -> Tensor:
    """Token vectors in the order in which each direction reads, (2, tokens, p)."""
    tokens = WordVectors()(layer, ids)
    return torch.stack([tokens, tokens[packing.flip]])
