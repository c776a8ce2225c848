"""Choice of the number of memory cells within a budget: that with which the predicted loss is least.

What removing cells costs, and what is left of the matrices' errors at the ranks that the budget then allows, are
predicted in the same unit, by `kfac_svd`, whichever method factorizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from elmo_mf.bilm.weights import Array, BilmWeights, Target, rows_of_cells
from elmo_mf.compression._cell_checks import after_removal, cell_counts, shapes_with_cells
from elmo_mf.compression._decomposition import square_root
from elmo_mf.compression.allocation import Candidate, ranks_within
from elmo_mf.compression.calibration import InputCovariances, OutputCovariances
from elmo_mf.compression.cells import CellRemoval
from elmo_mf.compression.matrix_reference import MatrixReference, matrix_references
from elmo_mf.compression.methods.kfac_svd import KfacSvd
from elmo_mf.progress import track
from elmo_mf.records.compression import Compression

VERSION = 1
"""Version of the prediction, part of the identities of runs that use it."""

_Place = tuple[int, int, Target]  # direction, layer and target of a matrix


@dataclass(frozen=True)
class CellStatistics:
    """Statistics of the memory cells of an ELMo and of what they cost.

    Attributes:
        removals: Their removal, by (direction, layer).
        inputs: Input covariances, by (direction, layer).
        outputs: Output covariances of the loss.
    """

    removals: Mapping[tuple[int, int], CellRemoval]
    inputs: Mapping[tuple[int, int], InputCovariances]
    outputs: OutputCovariances


def cells_in_budget(weights: BilmWeights, compression: Compression, known: CellStatistics) -> int:
    """Choose how many memory cells each direction of each layer keeps.

    Args:
        weights: Weights of the dense ELMo.
        compression: A compression with a budget.
        known: Statistics of its cells.

    Returns:
        The number with the least predicted loss; among equals the largest.
    """
    counts = cell_counts(weights, compression)
    if len(counts) == 1:
        return counts[0]
    losses = predicted_losses(weights, compression, counts, known)
    return min(counts, key=lambda cells: losses[cells])


def predicted_losses(
    weights: BilmWeights, compression: Compression, counts: Sequence[int], known: CellStatistics
) -> dict[int, float]:
    """Predict by how much the loss rises within a budget, up to a factor, by the number of memory cells.

    Args:
        weights: Weights of the dense ELMo.
        compression: A compression with a budget.
        counts: Numbers of cells for which the budget is large enough.
        known: Statistics of the cells.

    Returns:
        Squared errors of the removal and of the factors together.
    """
    rest, rising = after_removal(weights, compression), sorted(counts)
    references = matrix_references(weights, rest)
    reductions = {
        (*reference.key, reference.target): list(_error_reductions(reference, weights, rising, known))
        for reference in track(references, "number of memory cells", "matrices")
    }
    losses = dict[int, float]()
    for index, cells in enumerate(rising):
        removed = sum(removal.error(cells) for removal in known.removals.values())
        of_cells = {place: by_cells[index] for place, by_cells in reductions.items()}
        losses[cells] = removed + _error_left(shapes_with_cells(weights, cells), rest, of_cells)
    return losses


def _error_left(smaller: BilmWeights, rest: Compression, reductions: Mapping[_Place, Array]) -> float:
    """The squared error of all factors together at the ranks that the budget allows."""
    candidates, total = dict[MatrixReference, Candidate](), 0.0
    for reference in matrix_references(smaller, rest):
        known = reductions[*reference.key, reference.target]
        candidates[reference] = Candidate(known[: reference.largest_useful_rank], reference.cost)
        total += float(known.sum())
    ranks = ranks_within(smaller, rest, candidates)
    return total - sum(float(one.error_reductions[: ranks[key]].sum()) for key, one in candidates.items())


def _error_reductions(
    reference: MatrixReference, weights: BilmWeights, rising: Sequence[int], known: CellStatistics
) -> Iterator[Array]:
    """Decrease of the squared error by each further rank of a matrix, for each number of cells."""
    removal = known.removals[reference.key]
    if reference.target == "projection":
        return _of_projection(removal, rising)
    inputs = known.inputs[reference.key].of(reference.target)
    weighted = reference.matrix(weights).astype(np.float64) @ square_root(inputs, KfacSvd().ridge)
    covariance = known.outputs.of(reference)
    kept = removal.order[::-1]
    added = [rows_of_cells(kept[first:last], len(kept)) for first, last in _added(rising)]
    blocks = zip(*(np.split(rows, reference.blocks) for rows in added), strict=True)
    of_blocks = [_of_rows(weighted, covariance, block) for block in blocks]
    return (np.sum(together, axis=0) for together in zip(*of_blocks, strict=True))


def _of_projection(removal: CellRemoval, rising: Sequence[int]) -> Iterator[Array]:
    """Those of the projections that are corrected for the removal of the other cells.

    With C = L L^T in the order in which cells are kept, and Z = L^T W^T R, the first rows Z_k belong to the k cells
    that are kept, and R^T W' C_k W'^T R = Z_k^T Z_k.
    """
    kept = removal.order[::-1]
    lower = np.linalg.cholesky(removal.covariance[np.ix_(kept, kept)])
    z = lower.T @ np.asarray(removal.lstm.matrices["projection"])[:, kept].T.astype(np.float64) @ removal.root
    gram = np.zeros_like(removal.root)
    for first, last in _added(rising):
        gram += z[first:last].T @ z[first:last]
        yield _falling_eigenvalues(gram, last)


def _of_rows(weighted: Array, covariance: Array, added: Sequence[Array]) -> Iterator[Array]:
    """Those of more and more rows of a matrix (m, n).

    The squared singular values of R^T W C^(1/2) are the eigenvalues of C^(1/2) W^T G W C^(1/2), a sum over pairs of
    rows: G is read once for all numbers of rows, and not decomposed.

    Args:
        weighted: W C^(1/2), (m, n), whose rows are outputs.
        covariance: G, the output covariance, (m, m).
        added: The rows that are added each time.
    """
    n, ridge = weighted.shape[1], KfacSvd().output_ridge
    gram, plain, trace, before = np.zeros((n, n)), np.zeros((n, n)), 0.0, np.empty(0, int)
    for rows in added:
        new, squares = weighted[rows], covariance[np.ix_(rows, rows)].astype(np.float64)
        cross = new.T @ (covariance[np.ix_(rows, before)] @ weighted[before])
        gram += cross + cross.T + new.T @ squares @ new
        plain += new.T @ new
        trace, before = trace + float(np.trace(squares)), np.concatenate([before, rows])
        scale = trace / len(before)
        yield _falling_eigenvalues(gram + ridge * scale * plain if scale > 0 else plain, len(before))


def _falling_eigenvalues(gram: Array, most: int) -> Array:
    """The eigenvalues of a matrix with at most so many that are not zero."""
    return np.maximum(np.linalg.eigvalsh(gram)[::-1], 0)[:most]


def _added(rising: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Each number, after the one before it."""
    return zip([0, *rising[:-1]], rising, strict=True)
