"""Application of a compression to weights: removal of cells, calibration, ranks, factorization, recovery."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from elmo_mf.bilm import encoder
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.compression import _cells_in_budget, _in_order, cells
from elmo_mf.compression._cell_checks import after_removal
from elmo_mf.compression._highways import HighwayFactorization, highway_factorizations
from elmo_mf.compression._matrix_factorization import LstmFactorization
from elmo_mf.compression.allocation import MatrixFactorization, candidates_by_outputs, ranks_within
from elmo_mf.compression.calibration import (
    CALIBRATION_TEXT,
    ElmoInputs,
    ElmoProbe,
    EncoderProbe,
    Gradients,
)
from elmo_mf.compression.check import check_compression, check_gradients, takes_gradients
from elmo_mf.compression.file_hashes import with_file_hashes
from elmo_mf.compression.matrix_reference import MatrixReference, matrix_references
from elmo_mf.compression.methods.base import (
    NO_STATISTICS,
    CalibrationStatistics,
    Method,
    method_hash,
    method_named,
    method_of,
)
from elmo_mf.compression.recovery import distillation
from elmo_mf.io import check_space
from elmo_mf.progress import track
from elmo_mf.records.compression import HIGHWAY_METHOD, Compression
from elmo_mf.records.identity import ENCODER, unless_first

VERSION = 1
"""Version of what surrounds the methods, part of a run's identity: which matrices, calibration statistics, ranks."""


@dataclass(frozen=True)
class CompressedElmo:
    """An ELMo after a compression.

    Attributes:
        weights: Its weights.
        options: Its options, without the compression in their history, see `applied` and `with_history`.
        unfactored: Its weights before the factorization, with as many memory cells.
        cells: Number of memory cells to which they were reduced; None if none were removed.
        seconds: Time that the removal of cells and the factorization took.
        inputs: Inputs of `unfactored` on the calibration text, as far as they were computed. Defaults to none.
        distilled: Result of the distillation, if there was one.
    """

    weights: BilmWeights
    options: BilmOptions
    unfactored: BilmWeights
    cells: int | None
    seconds: float
    inputs: ElmoInputs | None = None
    distilled: distillation.Distilled | None = None

    def applied(self, compression: Compression) -> Compression:
        """Return the compression that was asked for with the number of memory cells that a budget chose."""
        return compression.model_copy(update={"cells": self.cells})


def compress(weights: BilmWeights, options: BilmOptions, compression: Compression) -> BilmWeights:
    """Compress an ELMo as `compress_elmo` does, and return its weights.

    Args:
        weights: Weights of the dense encoder, which stay unchanged.
        options: Its options.
        compression: What to remove and to factorize, how, and to which size.

    Returns:
        Weights that share the arrays of all other matrices with the dense ones. With fewer memory cells they need the
        options that `compress_elmo` returns.

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
    return compress_elmo(weights, options, compression).weights


def compress_elmo(
    weights: BilmWeights, options: BilmOptions, compression: Compression, checkpoint: Path | None = None
) -> CompressedElmo:
    """Remove memory cells of an ELMo, factorize matrices and distill, as far as the compression says so.

    Args:
        weights: Weights of the dense encoder, which stay unchanged.
        options: Its options.
        compression: What to remove and to factorize, how, and to which size.
        checkpoint: File in which the state of the distillation is saved now and then. Defaults to none.

    Returns:
        The compressed ELMo.

    Raises:
        InputError: See `check_compression`; or a file cannot be read.
    """
    check_compression(weights, compression)
    gradients, text = _gradients(weights, compression), Path(compression.calibration or CALIBRATION_TEXT)
    started = time.perf_counter()
    unfactored, smaller, probe = weights, options, ElmoProbe(weights, options, text)
    rest, left = compression.model_copy(update={"cells": None}), None
    if compression.cells is not None:
        assert gradients is not None
        fewer = _fewer_cells(weights, compression, probe, gradients)
        if fewer is not None:
            unfactored, left = fewer.weights, fewer.weights.cells
            smaller = options.with_cells(left)
            rest, gradients = after_removal(weights, compression), gradients.of_cells(fewer.kept)
            probe = ElmoProbe(unfactored, smaller, text)
    factored = factorize(unfactored, rest, probe, gradients)
    result = CompressedElmo(factored, smaller, unfactored, left, time.perf_counter() - started, probe.inputs)
    if compression.distill is None:
        return result
    if checkpoint is not None:
        size = distillation.checkpoint_size(factored)
        check_space("out", checkpoint, size if checkpoint.exists() else 2 * size)  # the next one is written beside it
    distilled = distillation.distill(weights, factored, options, compression.distill, checkpoint)
    return replace(result, weights=distilled.weights, distilled=distilled)


def _fewer_cells(
    weights: BilmWeights, compression: Compression, probe: EncoderProbe, gradients: Gradients
) -> cells.FewerCells | None:
    """Remove memory cells; None if a budget keeps all."""
    inputs, outputs = probe.input_covariances(), gradients.output_covariances()
    removals = cells.cell_removals(weights, inputs, outputs)
    number = compression.cells
    if not isinstance(number, int):
        known = _cells_in_budget.CellStatistics(removals, inputs, outputs)
        number = _cells_in_budget.cells_in_budget(weights, compression, known)
    return None if number == weights.cells else cells.with_fewer_cells(weights, number, removals)


def compression_versions(compression: Compression) -> dict[str, int]:
    """Return the versions of the parts that a compression uses, for the identities of runs."""
    versions = {"compression": VERSION, compression.method: method_of(compression).VERSION}
    if compression.cells is not None:
        versions |= unless_first({"memory-cells": cells.VERSION})
    if compression.cells == "budget":
        versions |= unless_first({"memory-cells-in-budget": _cells_in_budget.VERSION})
    if compression.highway_rank is not None:
        versions |= unless_first({HIGHWAY_METHOD: method_named(HIGHWAY_METHOD).VERSION})
    if compression.inputs == "compressed":
        versions |= unless_first({"in-order": _in_order.VERSION})
    if compression.distill is not None:
        versions["distillation"] = distillation.VERSION
    return versions


def encoder_identity(compression: Compression | None) -> dict[str, JsonValue]:
    """Return what vectors depend on besides the files of the ELMo; with it, a command recognises results of its own.

    Args:
        compression: The compression of the encoder; None for a dense one.

    Raises:
        InputError: A file of the compression does not exist or cannot be read.
    """
    versions: dict[str, JsonValue] = {ENCODER: encoder.VERSION}
    if compression is None:
        return {"compression": None, "versions": versions}
    return {
        "compression": with_file_hashes(compression).to_dict(),
        "method_file": method_hash(compression.method),
        "versions": versions | compression_versions(compression),
    }


def factorize(
    weights: BilmWeights, compression: Compression, probe: EncoderProbe, gradients: Gradients | None = None
) -> BilmWeights:
    """Factorize the chosen matrices of any model.

    Args:
        weights: Weights of the dense model.
        compression: What to factorize; it must have passed `check_compression`.
        probe: Reads the model's text, as far as the method and the budget need it.
        gradients: Gradients that describe the weights. Defaults to the file that the compression names.

    Returns:
        Weights that share the arrays of all other matrices with the dense ones.

    Raises:
        InputError: A file cannot be read, or the method needs gradients and the compression names no file of them.
    """
    method, references = method_of(compression), matrix_references(weights, compression)
    statistics = dict[MatrixReference, CalibrationStatistics]()
    if references:
        statistics = _statistics(method, references, probe, gradients or _gradients(weights, compression))
    lstms = (
        LstmFactorization(reference, method, statistics[reference], reference.matrix(weights))
        for reference in (track(references, "factorization", "matrices") if compression.budget is None else references)
    )
    highways: Iterable[HighwayFactorization] = ()
    if compression.highway_rank is not None:
        highways = highway_factorizations(weights, probe.highway_input_covariances())
    ranks = _ranks(weights, compression, lstms, highways, probe)
    if compression.inputs == "compressed":
        return _in_order.factorized_in_order(weights, ranks, probe)
    factored = weights
    for factorization, rank in ranks:
        factored = factorization.factored(factored, rank)
    return factored


def reads_text(compression: Compression) -> bool:
    """Return whether a text has to be read to factorize the LSTMs."""
    by_outputs = compression.budget is not None and compression.allocation == "outputs"
    return by_outputs or compression.inputs == "compressed" or method_of(compression).needs_inputs


def _ranks(
    weights: BilmWeights,
    compression: Compression,
    lstms: Iterable[LstmFactorization],
    highways: Iterable[HighwayFactorization],
    probe: EncoderProbe,
) -> Iterator[tuple[MatrixFactorization, int]]:
    """Each matrix with its rank; without a budget one at a time, so that only one is in memory."""
    if compression.budget is None:
        yield from ((one, compression.rank_for(one.reference.target)) for one in lstms)
    elif compression.allocation == "loss":
        matrices = list(lstms)
        by_loss = {one.reference: one.loss_candidate for one in track(matrices, "decomposition", "matrices")}
        ranks = ranks_within(weights, compression, by_loss)
        yield from ((one, ranks[one.reference]) for one in matrices)
    else:
        within: list[MatrixFactorization] = [*lstms, *(highways if compression.shares_budget else [])]
        yield from _allocated(weights, compression, within, probe)
    if isinstance(compression.highway_rank, int):
        yield from ((one, compression.highway_rank) for one in highways)


def _allocated(
    weights: BilmWeights, compression: Compression, within: Sequence[MatrixFactorization], probe: EncoderProbe
) -> list[tuple[MatrixFactorization, int]]:
    decomposed = track(within, "decomposition", "matrices")
    ranks = ranks_within(weights, compression, {one.reference: one.candidate for one in decomposed})
    if compression.allocation == "outputs" and len(within) > 1:
        candidates = candidates_by_outputs([(one, ranks[one.reference]) for one in within], weights, probe)
        ranks = ranks_within(weights, compression, candidates)
    return [(one, ranks[one.reference]) for one in within]


def _gradients(weights: BilmWeights, compression: Compression) -> Gradients | None:
    """Return the file of a compression that needs one.

    Raises:
        InputError: The compression names none.
    """
    check_gradients(compression)
    if compression.gradients is None or not takes_gradients(compression):
        return None
    return Gradients(Path(compression.gradients), weights)


def _statistics(
    method: Method, references: Sequence[MatrixReference], probe: EncoderProbe, gradients: Gradients | None
) -> dict[MatrixReference, CalibrationStatistics]:
    statistics = dict.fromkeys(references, NO_STATISTICS)
    if method.needs_inputs:
        covariances = probe.input_covariances()
        statistics = {
            reference: replace(known, input_covariance=covariances[reference.key].of(reference.target))
            for reference, known in statistics.items()
        }
    if gradients is not None and method.needs_output_covariance:
        outputs = gradients.output_covariances()
        statistics = {
            reference: replace(known, output_covariance=outputs.of(reference))
            for reference, known in statistics.items()
        }
    if gradients is not None and method.needs_gradients:
        rows = gradients.row_weights()
        statistics = {
            reference: replace(known, row_weights=rows.of(reference)) for reference, known in statistics.items()
        }
    return statistics
