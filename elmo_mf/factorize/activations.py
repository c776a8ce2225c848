"""How far a compressed encoder's activations are from the dense one's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from elmo_mf.bilm.bilm import Bilm
from elmo_mf.bilm.weights import Array

_AT_ONCE = 128  # sentences whose vectors are in memory


def activation_error(dense: Bilm, own: Bilm, sentences: Sequence[list[str]]) -> dict[str, Any]:
    """|own - dense|_F / |dense|_F over the tokens of `sentences`.

    # Returns
    `layers`: of each biLSTM layer; `all`: their root mean square; `sentences`: how many.
    """
    squares = _squared_errors(map(dense.embed, _batches(sentences)), own, sentences)
    return {
        "layers": np.sqrt(squares).tolist(),
        "all": float(np.sqrt(squares.mean())),
        "sentences": len(sentences),
    }


class Activations:
    """Those of a dense encoder, kept to compare many others with."""

    def __init__(self, dense: Bilm, sentences: Sequence[list[str]]) -> None:
        self.sentences = sentences
        self.batches = [dense.embed(batch) for batch in _batches(sentences)]

    def squared_errors(self, own: Bilm) -> Array:
        """(|own - dense|_F / |dense|_F)^2 of each biLSTM layer."""
        return _squared_errors(self.batches, own, self.sentences)


def _squared_errors(wanted: Iterable[list[Array]], own: Bilm, sentences: Sequence[list[str]]) -> Array:
    differences = np.zeros(own.options.lstm.n_layers)
    norms = np.zeros_like(differences)
    for dense, batch in zip(wanted, _batches(sentences), strict=True):
        for one, other in zip(dense, own.embed(batch), strict=True):
            differences += ((other - one)[1:].astype(np.float64) ** 2).sum(axis=(1, 2))
            norms += (one[1:].astype(np.float64) ** 2).sum(axis=(1, 2))
    return np.asarray(differences / norms)


def _batches(sentences: Sequence[list[str]]) -> Iterator[Sequence[list[str]]]:
    return (sentences[start : start + _AT_ONCE] for start in range(0, len(sentences), _AT_ONCE))
