"""The baseline `shuffled`: an ELMo whose matrices lost their order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from elmo_mf.bilm.weights import BilmWeights, LstmWeights, to_dense

VERSION = 1
"""Version of the shuffled weights, part of a run's identity; raised when they change."""


def shuffled(weights: BilmWeights) -> BilmWeights:
    """Shuffle the entries of every matrix of the LSTMs, each by itself, with a fixed seed.

    The matrices keep their sizes and distributions, and nothing of what they learned.
    """
    generator = np.random.default_rng(0)

    def shuffle(lstm: LstmWeights) -> LstmWeights:
        for target, matrix in lstm.dense().matrices.items():
            lstm = lstm.with_matrix(target, generator.permuted(to_dense(matrix).ravel()).reshape(matrix.shape))
        return lstm

    return replace(weights, lstms={place: shuffle(lstm) for place, lstm in sorted(weights.dense().lstms.items())})
