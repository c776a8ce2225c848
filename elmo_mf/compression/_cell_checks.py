"""What is known of a removal of memory cells before the work: whether it can be done, and which sizes are left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from elmo_mf.bilm.weights import GATES, BilmWeights, LstmWeights, Matrix, Target
from elmo_mf.compression.allocation import with_absolute_budget
from elmo_mf.errors import InputError
from elmo_mf.records.compression import Compression

_ZERO = np.float32(0)


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


def check_cells(weights: BilmWeights, cells: int, where: str = "cells") -> None:
    """Check that memory cells can be removed.

    Args:
        weights: Weights of the model.
        cells: Number of cells to keep.
        where: Place of the number, for errors. Defaults to `cells`.

    Raises:
        InputError: There are no more cells than that, or no projections; or a matrix is factored or pruned.
    """
    if any("projection" not in lstm.matrices for lstm in weights.lstms.values()):
        raise InputError(f"{where}: found an ELMo without projections, whose cells are its outputs")
    if not 1 <= cells < weights.cells:
        raise InputError(f"{where}: found {cells}, expected 1 to {weights.cells - 1}, as the ELMo has {weights.cells}")
    matrices = (matrix for lstm in weights.lstms.values() for matrix in lstm.matrices.values())
    if not all(isinstance(matrix, np.ndarray) for matrix in matrices):
        raise InputError(f"{where}: found factored or pruned matrices, expected dense ones")
