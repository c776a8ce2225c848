"""A compression done to weights: what is known of its matrices, their ranks, their factors, and their tuning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from elmo_mf.bilm.config import BilmOptions
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.compression.allocation.ranks import allocate
from elmo_mf.compression.calibration.input_covariances import CALIBRATION_TEXT
from elmo_mf.compression.calibration.probe import ElmoReading, Reading
from elmo_mf.compression.calibration.row_weights import read_row_weights
from elmo_mf.compression.calibration.sensitivity import by_outputs
from elmo_mf.compression.check import check_compression, parameters_within
from elmo_mf.compression.highways import HighwayPiece, highway_pieces
from elmo_mf.compression.matrix_reference import Slot, matrix_references
from elmo_mf.compression.methods.base import NOTHING, Evidence, Method, method_of
from elmo_mf.compression.piece import LstmPiece, Piece
from elmo_mf.compression.recovery.distillation import distill
from elmo_mf.errors import InputError
from elmo_mf.records.compression import Compression


def compress(weights: BilmWeights, options: BilmOptions, compression: Compression) -> BilmWeights:
    """Factorize the chosen matrices of an ELMo, and distill where the compression says so.

    Args:
        weights: Weights of the dense encoder.
        options: Its options.
        compression: What to factorize, how, and to which size.

    Returns:
        Weights that share the arrays of the matrices that are not factorized.

    Raises:
        InputError: See `check_compression`; or a file cannot be read.

    Examples:
        >>> from elmo_mf import Compression
        >>> from elmo_mf.bilm import BilmOptions, read_weights
        >>> from elmo_mf.resources import demo_options, demo_weights
        >>> options = BilmOptions.from_file(demo_options())
        >>> weights = read_weights(demo_weights(), options)
        >>> small = compress(weights, options, Compression(method="svd", rank=8, targets="input", layers=[0]))
        >>> small.lstms[0, 0].matrices["input"].rank
        8
    """
    check_compression(weights, compression)
    text = Path(compression.calibration or CALIBRATION_TEXT)
    factored = factorize(weights, compression, ElmoReading(weights, options, text))
    if compression.distill is None:
        return factored
    return distill(weights, factored, options, compression.distill).weights


def factorize(weights: BilmWeights, compression: Compression, reading: Reading) -> BilmWeights:
    """Factorize the chosen matrices; the text is read as far as methods and budgets need it."""
    method, slots = method_of(compression), matrix_references(weights, compression)
    evidence = _evidence(compression, method, slots, weights, reading) if slots else {}
    lstms = (LstmPiece(slot, method, evidence[slot], weights) for slot in slots)
    highways: Iterable[HighwayPiece] = ()
    if compression.highway_rank is not None:
        highways = highway_pieces(weights, reading.highway_moments())
    made = weights
    for piece, rank in _ranks(compression, lstms, highways, weights, reading):
        made = piece.factored(made, rank)
    return made


def reads_text(compression: Compression) -> bool:
    """Whether a text has to be read to factorize the LSTMs."""
    return method_of(compression).needs_inputs or (
        compression.budget is not None and compression.allocation == "outputs"
    )


def _ranks(
    compression: Compression,
    lstms: Iterable[LstmPiece],
    highways: Iterable[HighwayPiece],
    weights: BilmWeights,
    reading: Reading,
) -> Iterator[tuple[Piece, int]]:
    """Of pieces that come one at a time, and go, where no budget compares them."""
    if compression.budget is None:
        yield from ((piece, compression.rank_for(piece.slot.target)) for piece in lstms)
    else:
        within: list[Piece] = [*lstms, *(highways if compression.shares_budget else [])]
        parameters = parameters_within(weights, compression)
        yield from _allocated(within, parameters, compression.allocation, weights, reading)
    if isinstance(compression.highway_rank, int):
        yield from ((piece, compression.highway_rank) for piece in highways)


def _allocated(
    pieces: Sequence[Piece], parameters: int, allocation: str, weights: BilmWeights, reading: Reading
) -> list[tuple[Piece, int]]:
    ranks = allocate({piece.slot: piece.candidate for piece in pieces}, parameters)
    if allocation == "outputs" and len(pieces) > 1:
        seen = by_outputs([(piece, ranks[piece.slot]) for piece in pieces], weights, reading)
        ranks = allocate(seen, parameters)
    return [(piece, ranks[piece.slot]) for piece in pieces]


def _evidence(
    compression: Compression, method: Method, slots: Sequence[Slot], weights: BilmWeights, reading: Reading
) -> dict[Slot, Evidence]:
    evidence = dict.fromkeys(slots, NOTHING)
    if method.needs_inputs:
        seen = reading.moments()
        evidence = {s: replace(e, inputs=seen[s.key].of(s.target)) for s, e in evidence.items()}
    if method.needs_gradients:
        if compression.gradients is None:
            raise InputError(
                f"compression.gradients: found nothing, expected for {compression.method} a file of elmo-mf gradients"
            )
        rows = read_row_weights(Path(compression.gradients), weights)
        evidence = {s: replace(e, row_weights=rows.of(s)) for s, e in evidence.items()}
    return evidence
