"""Removal of memory cells, which gives a dense ELMo with fewer cells in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import Array, BilmWeights, LstmWeights, Matrix, Target, rows_of_cells
from elmo_mf.compression._cell_checks import check_cells
from elmo_mf.compression._decomposition import square_root
from elmo_mf.compression.calibration import (
    CALIBRATION_TEXT,
    ElmoProbe,
    InputCovariances,
    OutputCovariances,
    read_output_covariances,
)
from elmo_mf.compression.methods.kfac_svd import KfacSvd
from elmo_mf.progress import track

VERSION = 1
"""Version of what the removal computes, part of the identities of runs that use it."""


@dataclass(frozen=True)
class CellRemoval:
    """The removal of the memory cells of one direction of one layer, one after the other.

    Attributes:
        lstm: The LSTM with all cells.
        covariance: C, the covariance of the cells' outputs, with a ridge, (n, n).
        root: R with R R^T = G, the output covariance of the projection, (p, p).
        order: The cells, first the one that is removed first, (n,).
        errors: The squared error |R^T (W - W') C^(1/2)|_F^2 of the corrected projection once each is gone too, (n,).
    """

    lstm: LstmWeights
    covariance: Array
    root: Array
    order: Array
    errors: Array

    @classmethod
    def of(cls, lstm: LstmWeights, covariance: Array, outputs: Array | None) -> CellRemoval:
        """Choose the order.

        Args:
            lstm: Dense weights.
            covariance: Second moments of the cells' outputs, (n, n).
            outputs: Output covariance of the projection, (p, p); None to choose by the projection's outputs.
        """
        ridged = _ridged(covariance)
        root = np.eye(lstm.state_size) if outputs is None else _root(outputs)
        return cls(lstm, ridged, root, *removal_order(np.asarray(lstm.matrices["projection"]), ridged, root))

    def kept(self, cells: int) -> Array:
        """Return the numbers of the cells of which so many are left, in rising order."""
        return np.sort(self.order[len(self.order) - cells :])

    def error(self, cells: int) -> float:
        """Return the squared error once so many cells are left."""
        return 0.0 if cells == len(self.order) else float(self.errors[len(self.order) - cells - 1])

    def with_cells(self, cells: int) -> LstmWeights:
        """Return the LSTM with so many cells, and a corrected projection."""
        return _with_cells(self.lstm, self.kept(cells), self.covariance)


@dataclass(frozen=True)
class FewerCells:
    """Weights with fewer memory cells.

    Attributes:
        weights: The weights, whose matrices are dense.
        kept: Numbers that the cells had before, in rising order, by (direction, layer).
    """

    weights: BilmWeights
    kept: dict[tuple[int, int], Array]


def remove_cells(
    weights: BilmWeights,
    options: BilmOptions,
    cells: int,
    text: Path = CALIBRATION_TEXT,
    gradients: Path | None = None,
) -> tuple[BilmWeights, BilmOptions]:
    """Remove memory cells, and correct the projections for what the removed ones gave them.

    A cell takes a row of each gate and a column of the projection. One after the other, the cell goes whose removal,
    once the remaining columns are corrected by least squares, is predicted to raise the loss least (K-FAC, see
    `KfacSvd`); without gradients, the one that changes the projection's outputs least.

    Args:
        weights: Weights of an ELMo, with dense matrices and projections; they stay unchanged.
        options: Its options.
        cells: Number of cells to keep in each direction of each layer. Machine code needs a multiple of 16 on
            processors with AVX-512, and of 8 with AVX2.
        text: Calibration text, tokenised, one sentence per line; the first 50,000 tokens are read.
        gradients: File that `elmo-mf gradients` wrote for this ELMo.

    Returns:
        The weights and options of the smaller ELMo, which is dense.

    Raises:
        InputError: There are no more cells than that, or no projections; a matrix is factored or pruned; or a file
            cannot be read.

    Examples:
        >>> from elmo_mf.bilm import BilmOptions, read_weights
        >>> from elmo_mf.resources import demo_options, demo_weights
        >>> options = BilmOptions.from_file(demo_options())
        >>> weights, options = remove_cells(read_weights(demo_weights(), options), options, cells=256)
        >>> options.lstm.dim, weights.lstms[0, 0].matrices["projection"].shape
        (256, (64, 256))
    """
    check_cells(weights, cells)
    outputs = None if gradients is None else read_output_covariances(gradients, weights)
    removals = cell_removals(weights, ElmoProbe(weights, options, text).input_covariances(), outputs)
    return with_fewer_cells(weights, cells, removals).weights, options.with_cells(cells)


def cell_removals(
    weights: BilmWeights, inputs: Mapping[tuple[int, int], InputCovariances], outputs: OutputCovariances | None
) -> dict[tuple[int, int], CellRemoval]:
    """Choose the order in which memory cells are removed, by (direction, layer).

    Args:
        weights: Weights that have passed `check_removable`.
        inputs: Input covariances, by (direction, layer).
        outputs: Output covariances of the loss; None to choose by the projections' outputs.
    """
    lstms = track(list(weights.lstms.items()), "removal of memory cells", "LSTMs")
    projections = {} if outputs is None else outputs.covariances
    return {key: CellRemoval.of(lstm, inputs[key].cells, projections.get((*key, "projection"))) for key, lstm in lstms}


def with_fewer_cells(weights: BilmWeights, cells: int, removals: Mapping[tuple[int, int], CellRemoval]) -> FewerCells:
    """Remove memory cells as `remove_cells` does.

    Args:
        weights: Weights that have passed `check_removable`; they stay unchanged.
        cells: Number of cells to keep in each direction of each layer.
        removals: Their removal, by (direction, layer).
    """
    lstms = {key: removal.with_cells(cells) for key, removal in removals.items()}
    return FewerCells(replace(weights, lstms=lstms), {key: removal.kept(cells) for key, removal in removals.items()})


def removal_order(matrix: Array, covariance: Array, root: Array, block_size: int = 64) -> tuple[Array, Array]:
    """Order a projection's columns by removing, time after time, the one that costs least.

    With H the inverse of C over the columns that are left, removing column j and correcting the others by least squares
    costs |R^T w_j|^2 / H_jj (optimal brain surgeon, Hassibi and Stork 1993).

    Args:
        matrix: W, (p, n).
        covariance: C, the covariance of the cells' outputs, (n, n); positive definite.
        root: R with R R^T = G, the output covariance, (p, p).
        block_size: Number of columns that are removed before matrices are computed again; it affects the speed only.
            Defaults to 64.

    Returns:
        The columns, first the one that is removed first, (n,); and the squared error |R^T (W - W') C^(1/2)|_F^2 once
        each is gone too, (n,).
    """
    left, inverse = root.T @ matrix.astype(np.float64), np.linalg.inv(covariance)
    columns, order, errors = np.arange(matrix.shape[1]), list[Array](), list[Array]()
    while len(columns):
        block = _Removal(left, inverse)
        removed, costs = block.remove(min(block_size, len(columns)))
        order.append(columns[removed])
        errors.append(costs)
        left, inverse = block.rest()
        columns = columns[~block.gone]
    return np.concatenate(order), np.cumsum(np.concatenate(errors))


class _Removal:
    """Removal of a few columns, which subtracts an outer product a u^T from `left` and u u^T from `inverse` for each.

    The products are subtracted together in the end, by fast operations on whole matrices; until then, only what the
    choice of the next column needs is computed: its row of the inverse, and the norms of all columns.

    Args:
        left: R^T W, (p, n), corrected for the columns that are gone.
        inverse: H, (n, n).
    """

    def __init__(self, left: Array, inverse: Array) -> None:
        self.left, self.inverse = left, inverse
        self.squares, self.diagonal = (left**2).sum(axis=0), np.diag(inverse).copy()
        self.gone = np.zeros(len(inverse), bool)

    def remove(self, count: int) -> tuple[Array, Array]:
        """Return the next columns, (count,), and what each costs, (count,)."""
        self.a, self.u = np.empty((len(self.left), count)), np.empty((len(self.inverse), count))
        steps = [self._remove_one(self.a[:, :k], self.u[:, :k], k) for k in range(count)]
        return np.array([column for column, _ in steps]), np.array([cost for _, cost in steps])

    def _remove_one(self, a: Array, u: Array, k: int) -> tuple[int, float]:
        costs = np.full(len(self.gone), np.inf)
        np.divide(self.squares, self.diagonal, out=costs, where=~self.gone)
        least = int(costs.argmin())
        row = self.inverse[least] - u @ u[least]
        scale = np.sqrt(row[least])
        new_a, new_u = (self.left[:, least] - a @ u[least]) / scale, row / scale
        products = new_a @ self.left - u @ (new_a @ a)
        self.squares += new_u * (new_u * (new_a @ new_a) - 2 * products)
        self.diagonal -= new_u**2
        self.a[:, k], self.u[:, k], self.gone[least] = new_a, new_u, True
        return least, float(costs[least])

    def rest(self) -> tuple[Array, Array]:
        """Return `left` and `inverse` of the other columns."""
        others, u = ~self.gone, self.u[~self.gone]
        return self.left[:, others] - self.a @ u.T, self.inverse[np.ix_(others, others)] - u @ u.T


def _ridged(covariance: Array) -> Array:
    n = len(covariance)
    return np.asarray(covariance + KfacSvd().ridge * np.trace(covariance, dtype=np.float64) / n * np.eye(n))


def _root(covariance: Array) -> Array:
    return square_root(covariance, KfacSvd().output_ridge)


def _with_cells(lstm: LstmWeights, kept: Array, covariance: Array) -> LstmWeights:
    projection = np.asarray(lstm.matrices["projection"]).astype(np.float64)
    corrected = np.linalg.solve(covariance[np.ix_(kept, kept)], covariance[kept] @ projection.T).T
    rows = rows_of_cells(kept, lstm.cells)
    matrices: dict[Target, Matrix] = {
        "input": np.asarray(lstm.matrices["input"])[rows],
        "recurrent": np.asarray(lstm.matrices["recurrent"])[rows],
        "projection": corrected.astype(np.float32),
    }
    return LstmWeights(matrices, lstm.bias[rows])
