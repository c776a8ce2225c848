"""Files of row weights: how much a task's loss depends on each output of a matrix.

HDF5 with one dataset (m,) for each matrix, `<direction>/<layer>/<target>`: the sum over a row of E[(dL/dw)^2].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elmo_mf.bilm.weights import DIRECTIONS, GATES, JOINT, TARGETS, Array, BilmWeights, rows_of_cells
from elmo_mf.compression.calibration._output_covariances import OutputCovariances
from elmo_mf.compression.matrix_reference import MatrixReference
from elmo_mf.io import atomic_path
from elmo_mf.storage import hdf5_file
from elmo_mf.storage.numbers import NumbersFile, as_stored, write_numbers


@dataclass(frozen=True)
class RowWeights:
    """Row weights (m,) by direction, layer and target."""

    rows: dict[tuple[int, int, str], Array]

    def of(self, reference: MatrixReference) -> Array:
        """Row weights of a matrix; a joint matrix has the sum of its two."""
        names = ("input", "recurrent") if reference.target == JOINT else (reference.target,)
        return np.asarray(sum(self.rows[reference.direction, reference.layer, name] for name in names))

    def of_cells(self, kept: Mapping[tuple[int, int], Array]) -> RowWeights:
        """Return those of some memory cells' gates, by (direction, layer), and of all projections."""
        return RowWeights(
            {
                (direction, layer, target): rows
                if target == "projection"
                else rows[rows_of_cells(kept[direction, layer], len(rows) // GATES)]
                for (direction, layer, target), rows in self.rows.items()
            }
        )


def write_row_weights(
    path: Path, weights: RowWeights, attributes: dict[str, Any], covariances: OutputCovariances | None = None
) -> None:
    """Write a file atomically.

    Args:
        path: The file.
        weights: Row weights.
        attributes: Attributes of the HDF5 file.
        covariances: Output covariances. Defaults to none.
    """
    with atomic_path(path) as temporary, hdf5_file(temporary) as file:
        for name, value in attributes.items():
            file.attrs[name] = str(value)
        for (direction, layer, target), rows in weights.rows.items():
            name = _name(direction, layer, target)
            write_numbers(file, name, as_stored(rows, "float64", f"{path}: {name}"))
        for name, covariance in covariances.datasets() if covariances else ():
            write_numbers(file, name, as_stored(covariance, "float32", f"{path}: {name}"))


def read_row_weights(path: Path, weights: BilmWeights) -> RowWeights:
    """Read a file and check it against the weights that it describes.

    Args:
        path: HDF5 with the row weights (m,) of each matrix (m, n), as `write_row_weights` writes it.
        weights: Weights of the dense encoder.

    Raises:
        InputError: The file is missing or not HDF5; or a dataset is missing or damaged, has another shape, or has a
            value that is negative, NaN or infinite.
    """
    with NumbersFile(path, "file of gradients", "what elmo-mf gradients writes") as file:
        rows: dict[tuple[int, int, str], Array] = {}
        for (direction, layer), lstm in weights.lstms.items():
            for target in TARGETS:
                if target in lstm.matrices:
                    name, length = _name(direction, layer, target), lstm.matrices[target].shape[0]
                    rows[direction, layer, target] = file.read(name, (length,), "float64")
                    if (rows[direction, layer, target] < 0).any():
                        file.fail(name, "negative values", "sums of squares")
    return RowWeights(rows)


def _name(direction: int, layer: int, target: str) -> str:
    return f"{DIRECTIONS[direction]}/{layer}/{target}"
