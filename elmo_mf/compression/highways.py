"""The character CNN's highway layers as factors.

They are outside of what the paper compresses. At low rank of the biLSTM they are most of an encoder's multiply-adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from elmo_mf.bilm.char_cnn import CharCnn
from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.bilm.config import BilmOptions
from elmo_mf.bilm.weights import Array, BilmWeights, Factors, highway_matrices, to_dense, with_highway
from elmo_mf.compression.allocation.ranks import Candidate
from elmo_mf.compression.calibration.input_covariances import calibration_sentences
from elmo_mf.compression.matrix_reference import HighwaySlot, highway_slots
from elmo_mf.compression.methods.base import Evidence
from elmo_mf.compression.methods.truncation import Truncations
from elmo_mf.compression.methods.whitened_svd import WhitenedSvd
from elmo_mf.compression.piece import candidate
from elmo_mf.errors import InputError

_WORDS = 500  # at once


def check_highways(weights: BilmWeights, rank: int | str, allow_larger: bool) -> None:
    """That every highway layer can be factorized, at a rank or within a budget.

    Raises:
        InputError: there is none; one is factored already; the rank is above the matrix's, or saves nothing.
    """
    slots = highway_slots(weights)
    if not slots:
        raise InputError(f"compression.highway_rank: found {rank}, expected nothing: there is no highway layer here")
    for slot, matrix in zip(slots, highway_matrices(weights.char_cnn), strict=True):
        if isinstance(matrix, Factors):
            raise InputError(
                f"compression.highway_rank: found {slot} factored at rank {matrix.rank}, expected a dense matrix"
            )
        if isinstance(rank, str):
            continue
        if rank > slot.most:
            raise InputError(f"compression.highway_rank: found {rank}, expected at most {slot.most}, of {slot}")
        if rank >= slot.break_even and not allow_larger:
            raise InputError(
                f"compression.highway_rank: found {rank}, expected less than {slot.break_even:.1f}, the break-even "
                f"rank of {slot}: from there on factors are no smaller; set allow_larger to have them all the same"
            )


@dataclass(frozen=True)
class HighwayPiece:
    """Both gates of a highway layer as one matrix, by `whitened_svd` on the words of a text.

    Attributes:
        moments: of what it gets, see `highway_moments`.
    """

    slot: HighwaySlot
    matrix: Array
    moments: Array

    @cached_property
    def candidate(self) -> Candidate:
        energies = self._at_any_rank.energies
        return candidate(energies[: self.slot.most_useful], float(energies.sum()), self.slot.cost)

    def factored(self, weights: BilmWeights, rank: int) -> BilmWeights:
        """And without primed states: other words lead elsewhere."""
        factors = self._at_any_rank.factors(rank)
        lstms = {k: lstm if lstm.primed is None else replace(lstm, primed=None) for k, lstm in weights.lstms.items()}
        return BilmWeights(with_highway(weights.char_cnn, self.slot.layer, factors), lstms)

    @cached_property
    def _at_any_rank(self) -> Truncations:
        return WhitenedSvd().at_any_rank(self.matrix, Evidence(self.moments))


def highway_pieces(weights: BilmWeights, moments: Sequence[Array]) -> Iterator[HighwayPiece]:
    """All highway layers, which are dense."""
    matrices = map(to_dense, highway_matrices(weights.char_cnn))
    for parts in zip(highway_slots(weights), matrices, moments, strict=True):
        yield HighwayPiece(*parts)


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
