"""A compression done to weights: evidence, ranks, factors, and what may tune them afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import JOINT, Array, BilmWeights, Factors, LstmWeights, Pruned
from elmo_mf.errors import InputError
from elmo_mf.factorize.base import NOTHING, Evidence, Method
from elmo_mf.factorize.calibration import CALIBRATION_TEXT, Moments, moments
from elmo_mf.factorize.distill import distill
from elmo_mf.factorize.gradients import read_row_weights
from elmo_mf.factorize.highways import factorize_highways
from elmo_mf.factorize.plan import Candidate, allocate
from elmo_mf.factorize.size import BYTES_PER_PARAMETER
from elmo_mf.factorize.slot import Slot

if TYPE_CHECKING:
    from elmo_mf.factorize.compression import Compression

Inputs = Callable[[], Mapping[tuple[int, int], Moments]]
"""Gives, by (direction, layer), the second moments of what the matrices are multiplied with."""


def apply(compression: Compression, weights: BilmWeights, options: BilmOptions) -> BilmWeights:
    """See `Compression.apply`."""
    compression.check(weights)
    text = Path(compression.calibration or CALIBRATION_TEXT)
    factored = factorized(compression, weights, lambda: moments(weights, options, text))
    if compression.highway_rank is not None:
        factored = factorize_highways(factored, options, compression.highway_rank, text)
    if compression.distill is None:
        return factored
    return distill(weights, factored, options, compression.distill).weights


def factorized(compression: Compression, weights: BilmWeights, inputs: Inputs) -> BilmWeights:
    """Each chosen matrix as factors; `inputs` is called for methods that look at what matrices are multiplied with."""
    method, slots = compression.factorizer, compression.slots(weights)
    evidence = _evidence(compression, method, slots, weights, inputs) if slots else {}
    ranks = ranks_of(compression, slots, weights, evidence)
    lstms = dict(weights.lstms)
    for slot in slots:
        made = _factorize(method, slot, ranks[slot], weights, evidence[slot])
        lstms[slot.key] = _with(lstms[slot.key], slot, made)
    return replace(weights, lstms=lstms)


def ranks_of(
    compression: Compression, slots: list[Slot], weights: BilmWeights, evidence: dict[Slot, Evidence]
) -> dict[Slot, int]:
    """The rank of each chosen matrix."""
    if compression.budget is None:
        return {slot: compression.rank_of(slot) for slot in slots}
    candidates = {slot: _candidate(compression.factorizer, slot, weights, evidence[slot]) for slot in slots}
    return allocate(candidates, parameters_within(compression, slots, weights))


def parameters_within(compression: Compression, slots: list[Slot], weights: BilmWeights) -> int:
    """How many parameters a budget leaves to the factors.

    # Raises
    InputError: less than rank 1 everywhere takes.
    """
    assert compression.budget is not None
    ((kind, amount),) = compression.budget.items()
    chosen, biases = sum(int(np.prod(slot.shape)) for slot in slots), 0
    matrices = 0
    for lstm in weights.lstms.values():
        biases += lstm.bias.size
        matrices += sum(matrix.size for matrix in lstm.matrices.values())
    others, unit = matrices - chosen, 1
    if kind == "share":
        amount = int(amount * (matrices + biases))
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


def _candidate(method: Method, slot: Slot, weights: BilmWeights, evidence: Evidence) -> Candidate:
    """Gains relative to the whole matrix, so that matrices of large values do not take it all."""
    parts = [method.energies(*part) for part in _parts(slot, weights, evidence)]
    total = float(sum(part.sum() for part in parts))
    gains = np.sum([np.asarray(part[: slot.most_useful]) for part in parts], axis=0)
    return Candidate(gains / total if total > 0 else gains, slot.cost)


def _parts(slot: Slot, weights: BilmWeights, evidence: Evidence) -> list[tuple[Array, Evidence]]:
    """What is factorized by itself: the matrix, or each gate's rows of it."""
    split = partial(np.array_split, indices_or_sections=slot.blocks)
    rows = [None] * slot.blocks if evidence.row_weights is None else split(evidence.row_weights)
    return [
        (matrix, replace(evidence, row_weights=own))
        for matrix, own in zip(split(slot.matrix(weights)), rows, strict=True)
    ]


def _factorize(method: Method, slot: Slot, rank: int, weights: BilmWeights, evidence: Evidence) -> Factors | Pruned:
    parts = [method.factorize(matrix, rank, own) for matrix, own in _parts(slot, weights, evidence)]
    factors = [part for part in parts if isinstance(part, Factors)]
    if factors:
        return Factors(np.concatenate([f.left for f in factors]), np.concatenate([f.right for f in factors]))
    return Pruned(np.concatenate([part.values for part in parts if isinstance(part, Pruned)]))


def _with(lstm: LstmWeights, slot: Slot, made: Factors | Pruned) -> LstmWeights:
    if slot.target == JOINT and isinstance(made, Pruned):  # which has no factor to share
        parts = np.split(made.values, [-lstm.state_size], axis=1)
        lstm = lstm.with_matrix("input", Pruned(parts[0].copy()))
        return lstm.with_matrix("recurrent", Pruned(parts[1].copy()))
    return lstm.with_matrix(slot.target, made)


def _evidence(
    compression: Compression, method: Method, slots: list[Slot], weights: BilmWeights, inputs: Inputs
) -> dict[Slot, Evidence]:
    evidence = dict.fromkeys(slots, NOTHING)
    if method.needs_inputs:
        seen = inputs()
        evidence = {s: replace(e, inputs=seen[s.key].of(s.target)) for s, e in evidence.items()}
    if method.needs_gradients:
        if compression.gradients is None:
            raise InputError(
                f"compression.gradients: found nothing, expected for {compression.method} a file of elmo-mf gradients"
            )
        rows = read_row_weights(Path(compression.gradients), weights)
        evidence = {s: replace(e, row_weights=rows.of(s)) for s, e in evidence.items()}
    return evidence
