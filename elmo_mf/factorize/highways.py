"""The character CNN's highway layers as factors.

They are outside of what the paper compresses. At low rank of the biLSTM they are most of an encoder's multiply-adds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import Array, BilmWeights, Factors, highway_matrices, to_dense, with_highway
from elmo_mf.errors import InputError
from elmo_mf.factorize.base import Evidence
from elmo_mf.factorize.calibration import calibration_sentences
from elmo_mf.factorize.slot import break_even_rank
from elmo_mf.factorize.whitened_svd import WhitenedSvd

HIGHWAY_METHOD = "whitened_svd"
_WORDS = 500  # at once


def check_highways(weights: BilmWeights, rank: int, allow_larger: bool) -> None:
    """That every highway layer can be factorized at a rank.

    # Raises
    InputError: there is none; one is factored already; the rank is above the matrix's, or saves nothing.
    """
    matrices = highway_matrices(weights.char_cnn)
    if not matrices:
        raise InputError(f"compression.highway_rank: found {rank}, expected nothing: there is no highway layer here")
    for layer, matrix in enumerate(matrices):
        name = f"highway layer {layer} ({' x '.join(map(str, matrix.shape))})"
        if isinstance(matrix, Factors):
            raise InputError(
                f"compression.highway_rank: found {name} factored at rank {matrix.rank}, expected a dense matrix"
            )
        if rank > min(matrix.shape):
            raise InputError(f"compression.highway_rank: found {rank}, expected at most {min(matrix.shape)}, of {name}")
        least = break_even_rank(*matrix.shape)
        if rank >= least and not allow_larger:
            raise InputError(
                f"compression.highway_rank: found {rank}, expected less than {least:.1f}, the break-even rank of "
                f"{name}: from there on factors are no smaller; set allow_larger to have them all the same"
            )


def factorize_highways(weights: BilmWeights, options: BilmOptions, rank: int, text: Path) -> BilmWeights:
    """Both gates of each highway layer as one matrix (2n, n), by `whitened_svd` on the words of a text.

    # Raises
    InputError: the text cannot be read or has no words.
    """
    char_cnn, matrices = weights.char_cnn, highway_matrices(weights.char_cnn)
    for layer, inputs in enumerate(highway_moments(weights, options, text)):
        factors = WhitenedSvd().factorize(to_dense(matrices[layer]), rank, Evidence(inputs))
        char_cnn = with_highway(char_cnn, layer, factors)
    lstms = {key: replace(lstm, primed=None) for key, lstm in weights.lstms.items()}  # other words lead elsewhere
    return BilmWeights(char_cnn, lstms)


@torch.no_grad()
def highway_moments(weights: BilmWeights, options: BilmOptions, text: Path) -> list[Array]:
    """E[x x^T] (n, n) of what each highway layer gets, over the tokens that calibration reads."""
    cnn = CharCnn(options.char_cnn, options.lstm.projection_dim, weights.char_cnn)
    counts = Counter(token for sentence in calibration_sentences(text) for token in sentence)
    words = list(counts)
    n = options.char_cnn.n_filters
    sums = [np.zeros((n, n)) for _ in cnn.highways]
    for start in range(0, len(words), _WORDS):
        some = words[start : start + _WORDS]
        shares = torch.tensor([counts[word] for word in some]).unsqueeze(1) / counts.total()
        ids = batch_to_ids([some], options.char_cnn.max_characters_per_token)[0]
        for own, x in zip(sums, cnn.steps(ids), strict=False):
            own += (x.T @ (shares * x)).double().numpy()
    return sums
