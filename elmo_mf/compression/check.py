"""Checks of a compression against the weights that it is meant for."""

from __future__ import annotations

from elmo_mf.bilm.checkpoint import zero_weights
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.compression._cell_checks import after_removal, cell_counts, check_cells, check_removable, shapes_with_cells
from elmo_mf.compression._highways import check_highways
from elmo_mf.compression.allocation import BudgetRoom, check_budget
from elmo_mf.compression.matrix_reference import MatrixReference, matrix_references
from elmo_mf.compression.methods.base import method_of
from elmo_mf.errors import InputError, absent
from elmo_mf.records.compression import Compression


def check_compression(weights: BilmWeights, compression: Compression, language_model: bool = False) -> None:
    """Raise the errors that `compress` would raise, except those of files, without the work.

    Args:
        weights: Weights of the dense model.
        compression: What to factorize.
        language_model: Whether the weights are the core of a language model, in place of an ELMo.

    Raises:
        InputError: The method does not exist or has other settings; the model has no such layer or matrix; a matrix is
            factored already; a rank is above the matrix's, or at or above break-even without `allow_larger`; the
            budget is too small, or no smaller than what so many memory cells leave; there are no more cells than are to
            be kept; or a setting does not apply to this kind of model.
    """
    method = method_of(compression)
    if compression.allocation == "loss" and not method.needs_output_covariance:
        found = f"loss with {compression.method}, which does not predict it"
        raise InputError("compression.allocation", f"found {found}, expected outputs or matrices")
    if compression.inputs == "compressed" and not method.needs_inputs:
        found = f"compressed with {compression.method}, which uses no inputs"
        raise InputError("compression.inputs", f"found {found}, expected dense")
    _check_kind(compression, language_model)
    if compression.cells == "budget":
        check_removable(weights, "compression.cells")
        _check_matrices(weights, compression)
        cell_counts(weights, compression)
    elif compression.cells is not None:
        check_cells(weights, compression.cells, "compression.cells")
        smaller, rest = shapes_with_cells(weights, compression.cells), after_removal(weights, compression)
        _check_sizes(smaller, rest)
        _check_saves(smaller, rest, compression.cells)
    else:
        _check_sizes(weights, compression)


def check_against_options(options: BilmOptions, compression: Compression) -> None:
    """Raise the errors of `check_compression` that follow from an ELMo's sizes, before its weights are read.

    An ELMo that has been compressed before is not checked, because its options do not have the shapes of its factors.

    Args:
        options: Options of the ELMo.
        compression: What to factorize.

    Raises:
        InputError: See `check_compression`.
    """
    if not options.history.steps:
        check_compression(zero_weights(options), compression)


def takes_gradients(compression: Compression) -> bool:
    """Return whether a compression needs a file of gradients."""
    return compression.cells is not None or method_of(compression).takes_gradients


def check_gradients(compression: Compression) -> None:
    """Check that a compression names a file of gradients if it needs one.

    Raises:
        InputError: It names none.
    """
    if takes_gradients(compression) and compression.gradients is None:
        whose = compression.method if compression.cells is None else "the removal of cells"
        expected = f"a file written by elmo-mf gradients, which {whose} requires"
        raise InputError("compression.gradients", absent(expected))


def needs_output_covariance(compression: Compression) -> bool:
    """Return whether it needs output covariances beside the row weights of a file of gradients."""
    return compression.cells is not None or method_of(compression).needs_output_covariance


def _check_matrices(weights: BilmWeights, compression: Compression) -> list[MatrixReference]:
    if compression.highway_rank is not None:
        check_highways(weights, compression.highway_rank, compression.allow_larger)
    return matrix_references(weights, compression)


def _check_sizes(weights: BilmWeights, compression: Compression) -> None:
    references = _check_matrices(weights, compression)
    if compression.budget is not None:
        check_budget(weights, compression)
    elif not compression.allow_larger:
        for reference in references:
            _check_useful(reference, compression.rank_for(reference.target))


def _check_saves(smaller: BilmWeights, compression: Compression, cells: int) -> None:
    """Check that a budget leaves less than the matrices have after cells were removed."""
    if compression.budget is None:
        return
    room = BudgetRoom.of(smaller, compression)
    if not room.saves:
        found, expected = f"{room.amount:,} {room.unit}", f"fewer than {room.dense:,}, the size with {cells} cells"
        raise InputError("compression.budget", f"found {found}, expected {expected}")


def _check_kind(compression: Compression, language_model: bool) -> None:
    if language_model and compression.distill is not None:
        raise InputError("compression.distill", "applies to ELMos; use `finetune` for a language model")
    if not language_model and compression.finetune is not None:
        raise InputError("compression.finetune", "applies to language models; use `distill` for an ELMo")
    if language_model and compression.calibration is not None:
        raise InputError(
            "compression.calibration", "applies to ELMos; a language model is calibrated on its task's text"
        )
    if language_model and compression.cells is not None:
        raise InputError("compression.cells", "applies to ELMos; a language model has no projections to correct")
    if language_model and compression.highway_rank is not None:
        raise InputError("compression.highway_rank", "applies to ELMos; a language model has no character CNN")


def _check_useful(reference: MatrixReference, rank: int) -> None:
    if rank >= reference.break_even:
        raise InputError(
            "compression.rank",
            f"found {rank}, expected less than {reference.break_even:.1f}, the break-even rank of "
            f"{reference}, at which factors save nothing; set allow_larger to accept it",
        )
