"""Checks of a removal of memory cells before the work: whether it can be done, and which sizes are left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from elmo_mf.bilm.weights import GATES, BilmWeights, LstmWeights, Matrix, Target
from elmo_mf.compression.allocation import BudgetRoom, check_budget, with_absolute_budget
from elmo_mf.errors import InputError
from elmo_mf.records.compression import Compression

_ZERO = np.float32(0)
_STEPS = 4  # numbers of cells from which a budget chooses, from one to half of it
_LANES = 16  # cells that machine code computes at once


def after_removal(weights: BilmWeights, compression: Compression) -> Compression:
    """Return what follows a compression's removal of memory cells, with a budget that does not depend on their number.

    Args:
        weights: Weights before the removal.
        compression: A compression with `cells`.
    """
    return with_absolute_budget(weights, compression).model_copy(update={"cells": None})


def shapes_with_cells(weights: BilmWeights, cells: int) -> BilmWeights:
    """Return zeros, which take no memory, in the shapes that weights have with another number of memory cells."""
    lstms = {}
    for key, lstm in weights.lstms.items():
        shapes = {target: (GATES * cells, matrix.shape[1]) for target, matrix in lstm.matrices.items()}
        shapes["projection"] = lstm.state_size, cells
        zeros: dict[Target, Matrix] = {target: np.broadcast_to(_ZERO, shape) for target, shape in shapes.items()}
        lstms[key] = LstmWeights(zeros, np.broadcast_to(_ZERO, GATES * cells))
    return replace(weights, lstms=lstms)


def cell_counts(weights: BilmWeights, compression: Compression) -> list[int]:
    """List the numbers of memory cells from which a budget chooses.

    They fall from that of the ELMo, four to each half, as long as the matrices of so many cells have more parameters
    than the budget leaves to their factors.

    Args:
        weights: Weights that have passed `check_removable`.
        compression: A compression with a budget.

    Returns:
        The numbers, in falling order; at least one.

    Raises:
        InputError: The budget is too small for all of them.
    """
    rest = after_removal(weights, compression)
    by_cells = {cells: shapes_with_cells(weights, cells) for cells in _falling(weights.cells)}
    rooms = {cells: BudgetRoom.of(shapes, rest) for cells, shapes in by_cells.items()}
    useful = [cells for cells, room in rooms.items() if room.saves or cells == weights.cells]
    fitting = [cells for cells in useful if rooms[cells].fits]
    if not fitting:
        check_budget(by_cells[useful[-1]], rest)  # raises
    return fitting


def _falling(cells: int) -> list[int]:
    """A number and smaller ones, each a quarter of an octave below; where they are large, multiples of the lanes."""
    unit = _LANES if cells >= _STEPS * _LANES else 1
    smaller = [unit * round(cells / unit * 2 ** (-k / _STEPS)) for k in range(1, _STEPS * cells.bit_length())]
    return [cells, *dict.fromkeys(one for one in smaller if 0 < one < cells)]


def check_cells(weights: BilmWeights, cells: int, where: str = "cells") -> None:
    """Check that memory cells can be removed.

    Args:
        weights: Weights of the model.
        cells: Number of cells to keep.
        where: Place of the number, for errors. Defaults to `cells`.

    Raises:
        InputError: There are no more cells than that, or no projections; or a matrix is factored or pruned.
    """
    check_removable(weights, where)
    if not 1 <= cells < weights.cells:
        raise InputError(where, f"found {cells}, expected 1 to {weights.cells - 1}, as the ELMo has {weights.cells}")


def check_removable(weights: BilmWeights, where: str) -> None:
    """Check that an ELMo has memory cells that can be removed.

    Args:
        weights: Weights of the model.
        where: Place of the number of cells, for errors.

    Raises:
        InputError: There are no projections; or a matrix is factored or pruned.
    """
    if any("projection" not in lstm.matrices for lstm in weights.lstms.values()):
        raise InputError(where, "found an ELMo without projections, whose cells are its outputs")
    matrices = (matrix for lstm in weights.lstms.values() for matrix in lstm.matrices.values())
    if not all(isinstance(matrix, np.ndarray) for matrix in matrices):
        raise InputError(where, "found factored or pruned matrices, expected dense ones")
