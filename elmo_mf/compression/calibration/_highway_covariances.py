"""Input covariances of the character CNN's highway layers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch

from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.token_layers import token_layer
from elmo_mf.bilm.weights import Array, BilmWeights
from elmo_mf.compression.calibration._input_covariances import calibration_sentences
from elmo_mf.progress import track

_BATCH_WORDS = 500


@torch.no_grad()
def highway_input_covariances(weights: BilmWeights, options: BilmOptions, text: Path) -> list[Array]:
    """Compute E[x x^T], (n, n), of each highway layer's inputs over the tokens of a text.

    Args:
        weights: Weights of the dense encoder.
        options: Its options.
        text: Tokenised, one sentence per line; the first 50,000 tokens are read.

    Raises:
        InputError: The text cannot be read or has no words.
    """
    cnn = token_layer(options, weights)
    assert isinstance(cnn, CharCnn)  # no other has highway layers
    counts = Counter(token for sentence in calibration_sentences(text) for token in sentence)
    words = list(counts)
    n = cnn.options.n_filters
    sums = [np.zeros((n, n)) for _ in cnn.highways]
    for start in track(range(0, len(words), _BATCH_WORDS), "inputs of highway layers", "batches"):
        batch = words[start : start + _BATCH_WORDS]
        shares = torch.tensor([counts[word] for word in batch]).unsqueeze(1) / counts.total()
        ids = cnn.ids([batch])[0]
        for total, x in zip(sums, cnn.steps(ids), strict=False):
            total += (x.T @ (shares * x)).double().numpy()
    return sums
