"""A compression done to weights: what is known of its matrices, their ranks, their factors, and their tuning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from elmo_mf.bilm.config import BilmOptions
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.compression.allocation.ranks import allocate
from elmo_mf.compression.calibration.input_covariances import CALIBRATION_TEXT
from elmo_mf.compression.calibration.probe import ElmoReading, Reading
from elmo_mf.compression.calibration.row_weights import read_row_weights
from elmo_mf.compression.calibration.sensitivity import by_outputs
from elmo_mf.compression.highways import HighwayPiece, highway_pieces
from elmo_mf.compression.matrix_reference import Slot, highway_slots
from elmo_mf.compression.methods.base import NOTHING, Evidence, Method
from elmo_mf.compression.piece import LstmPiece, Piece
from elmo_mf.compression.recovery.distillation import distill
from elmo_mf.compression.size import BYTES_PER_PARAMETER
from elmo_mf.errors import InputError

if TYPE_CHECKING:
    from elmo_mf.compression.config import Compression


def apply(compression: Compression, weights: BilmWeights, options: BilmOptions) -> BilmWeights:
    """See `Compression.apply`."""
    compression.check(weights)
    text = Path(compression.calibration or CALIBRATION_TEXT)
    factored = factorized(compression, weights, ElmoReading(weights, options, text))
    if compression.distill is None:
        return factored
    return distill(weights, factored, options, compression.distill).weights


def factorized(compression: Compression, weights: BilmWeights, reading: Reading) -> BilmWeights:
    """Each chosen matrix as factors. The text is read as far as methods and budgets ask for it."""
    method, slots = compression.factorizer, compression.slots(weights)
    evidence = _evidence(compression, method, slots, weights, reading) if slots else {}
    lstms = (LstmPiece(slot, method, evidence[slot], weights) for slot in slots)
    highways: Iterable[HighwayPiece] = ()
    if compression.highway_rank is not None:
        highways = highway_pieces(weights, reading.highway_moments())
    made = weights
    for piece, rank in _ranks(compression, lstms, highways, weights, reading):
        made = piece.factored(made, rank)
    return made


def _ranks(
    compression: Compression,
    lstms: Iterable[LstmPiece],
    highways: Iterable[HighwayPiece],
    weights: BilmWeights,
    reading: Reading,
) -> Iterator[tuple[Piece, int]]:
    """Of pieces that come one at a time, and go, where no budget compares them."""
    if compression.budget is None:
        yield from ((piece, compression.rank_of(piece.slot)) for piece in lstms)
    else:
        within: list[Piece] = [*lstms, *(highways if compression.shares_budget else [])]
        parameters = parameters_within(compression, weights)
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


def parameters_within(compression: Compression, weights: BilmWeights) -> int:
    """How many parameters a budget leaves to the factors.

    Raises:
        InputError: less than rank 1 everywhere takes.
    """
    assert compression.budget is not None
    ((kind, amount),) = compression.budget.items()
    highways = highway_slots(weights) if compression.shares_budget else []
    slots = [*compression.slots(weights), *highways]
    lstms, whole = weights.lstms.values(), sum(prod(slot.shape) for slot in highways)
    biases = sum(lstm.bias.size for lstm in lstms) + sum(slot.shape[0] for slot in highways)
    whole += sum(matrix.size for lstm in lstms for matrix in lstm.matrices.values())
    others, unit = whole - sum(prod(slot.shape) for slot in slots), 1
    if kind == "share":
        amount = int(amount * (whole + biases))
    if kind == "bytes":
        unit = BYTES_PER_PARAMETER
    if kind != "multiply_adds":
        others += biases
    least = others + sum(slot.cost for slot in slots)
    if amount // unit < least:
        raise InputError(
            f"compression.budget: found {amount:,} {'parameters' if kind == 'share' else kind}, expected at least "
            f"{least * unit:,}: {others * unit:,} that stay as they are, and rank 1 for all others"
        )
    return int(amount // unit) - others


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
