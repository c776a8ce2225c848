"""Distance of a compressed encoder's activations from the dense one's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.weights import Array
from elmo_mf.progress import track

_BATCH_SENTENCES = 128  # whose vectors are in memory


@dataclass(frozen=True)
class ActivationError:
    """The error |compressed - dense|_F / |dense|_F of the LSTM layers' outputs.

    Attributes:
        layers: Error of each layer.
        overall: Root mean square of the layers' errors.
        sentences: Number of sentences, where the text is in sentences.
    """

    layers: tuple[float, ...]
    overall: float
    sentences: int | None = None

    @classmethod
    def of_squares(cls, squares: Array, sentences: int | None = None) -> ActivationError:
        """Build it from the error of each layer.

        Args:
            squares: (|compressed - dense|_F / |dense|_F)^2 of each layer, (layers,).
            sentences: Number of sentences; None where the text is not in sentences.
        """
        return cls(tuple(np.sqrt(squares).tolist()), float(np.sqrt(squares.mean())), sentences)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        counted = {} if self.sentences is None else {"sentences": self.sentences}
        return {"layers": list(self.layers), "all": self.overall} | counted


def activation_error(dense: Bilm, compressed: Bilm, sentences: Sequence[list[str]]) -> ActivationError:
    """Compare two encoders over the tokens of tokenised sentences.

    Args:
        dense: The dense encoder.
        compressed: The compressed one, of the same sizes.
        sentences: Tokenised sentences.

    Returns:
        The relative errors of the LSTM layers' outputs.
    """
    differences = np.zeros(compressed.options.lstm.n_layers)
    norms = np.zeros_like(differences)
    for start in track(range(0, len(sentences), _BATCH_SENTENCES), "activation errors", "batches"):
        batch = sentences[start : start + _BATCH_SENTENCES]
        for before, after in zip(dense.embed(batch), compressed.embed(batch), strict=True):
            differences += ((after - before)[1:].astype(np.float64) ** 2).sum(axis=(1, 2))
            norms += (before[1:].astype(np.float64) ** 2).sum(axis=(1, 2))
    return ActivationError.of_squares(differences / norms, len(sentences))
