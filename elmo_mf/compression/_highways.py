"""Factorization of the character CNN's highway layers.

The paper does not compress them. At low rank of the biLSTM they take most of an encoder's multiply-adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from elmo_mf.bilm.weights import Array, BilmWeights, Factors, highway_matrices, to_dense, with_highway
from elmo_mf.compression.allocation import Candidate
from elmo_mf.compression.matrix_reference import HighwayReference, highway_references
from elmo_mf.compression.methods.base import CalibrationStatistics, Factorizer
from elmo_mf.compression.methods.whitened_svd import WhitenedSvd
from elmo_mf.errors import InputError


def check_highways(weights: BilmWeights, rank: int | str, allow_larger: bool) -> None:
    """Check that every highway layer can be factorized.

    Args:
        weights: Weights of the dense encoder.
        rank: Rank of the factors; any text stands for a rank within a budget.
        allow_larger: Accept ranks at which factors save nothing.

    Raises:
        InputError: There is no highway layer; one is factored already; the rank is above the matrix's; or it saves
            nothing.
    """
    references = highway_references(weights)
    if not references:
        raise InputError("compression.highway_rank", f"found {rank}, but this encoder has no highway layers")
    for reference, matrix in zip(references, highway_matrices(weights.token_layer), strict=True):
        if isinstance(matrix, Factors):
            found = f"{reference} factored at rank {matrix.rank}"
            raise InputError("compression.highway_rank", f"found {found}, expected a dense matrix")
        if isinstance(rank, int):
            _check_rank(reference, rank, allow_larger)


def _check_rank(reference: HighwayReference, rank: int, allow_larger: bool) -> None:
    if rank > reference.full_rank:
        expected = f"at most {reference.full_rank}, the rank of {reference}"
        raise InputError("compression.highway_rank", f"found {rank}, expected {expected}")
    if rank >= reference.break_even and not allow_larger:
        raise InputError(
            "compression.highway_rank",
            f"found {rank}, expected less than {reference.break_even:.1f}, the break-even "
            f"rank of {reference}, at which factors save nothing; set allow_larger to accept it",
        )


@dataclass(frozen=True)
class HighwayFactorization:
    """The factorization of both gates of a highway layer as one matrix, by `whitened_svd`.

    Attributes:
        reference: Which layer.
        matrix: The dense matrix, (2n, n).
        input_covariance: Second moments of the layer's inputs, (n, n).
    """

    reference: HighwayReference
    matrix: Array
    input_covariance: Array

    @cached_property
    def candidate(self) -> Candidate:
        """Error reductions relative to the matrix's squared norm, and costs."""
        reductions = self._factorizer.error_reductions
        most = self.reference.largest_useful_rank
        return Candidate.relative(reductions, float(reductions.sum()), most, self.reference.cost)

    def factored(self, weights: BilmWeights, rank: int) -> BilmWeights:
        """Replace the matrix by factors, and drop stored initial states, which are invalid for new token vectors."""
        factors = self._factorizer.factors(rank)
        lstms = {k: lstm if lstm.primed is None else replace(lstm, primed=None) for k, lstm in weights.lstms.items()}
        arrays = with_highway(weights.token_layer, self.reference.layer, factors)
        return replace(weights, token_layer=arrays, lstms=lstms)

    @cached_property
    def _factorizer(self) -> Factorizer:
        return WhitenedSvd().prepare(self.matrix, CalibrationStatistics(self.input_covariance))


def highway_factorizations(weights: BilmWeights, covariances: Sequence[Array]) -> Iterator[HighwayFactorization]:
    """Factorizations of all highway layers of a dense encoder.

    Args:
        weights: Weights of the encoder.
        covariances: Second moments of each layer's inputs, see `highway_input_covariances`.
    """
    matrices = map(to_dense, highway_matrices(weights.token_layer))
    for reference, matrix, covariance in zip(highway_references(weights), matrices, covariances, strict=True):
        yield HighwayFactorization(reference, matrix, covariance)
