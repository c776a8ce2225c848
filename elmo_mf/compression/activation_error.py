"""How far a compressed encoder's activations are from the dense one's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from elmo_mf.bilm.encoder import Bilm

_AT_ONCE = 128  # sentences whose vectors are in memory


def activation_error(dense: Bilm, own: Bilm, sentences: Sequence[list[str]]) -> dict[str, Any]:
    """|own - dense|_F / |dense|_F over the tokens of `sentences`.

    Returns:
        `layers`: of each biLSTM layer; `all`: their root mean square; `sentences`: how many.
    """
    differences = np.zeros(own.options.lstm.n_layers)
    norms = np.zeros_like(differences)
    for start in range(0, len(sentences), _AT_ONCE):
        batch = sentences[start : start + _AT_ONCE]
        for one, other in zip(dense.embed(batch), own.embed(batch), strict=True):
            differences += ((other - one)[1:].astype(np.float64) ** 2).sum(axis=(1, 2))
            norms += (one[1:].astype(np.float64) ** 2).sum(axis=(1, 2))
    squares = differences / norms
    return {
        "layers": np.sqrt(squares).tolist(),
        "all": float(np.sqrt(squares.mean())),
        "sentences": len(sentences),
    }
