"""The file of gradients of a dense model, as the model with fewer memory cells reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from elmo_mf.bilm.weights import Array, BilmWeights
from elmo_mf.compression.calibration._output_covariances import OutputCovariances, read_output_covariances
from elmo_mf.compression.calibration._row_weights import RowWeights, read_row_weights


@dataclass(frozen=True)
class Gradients:
    """A file of gradients.

    Attributes:
        path: The file.
        weights: Weights of the dense model that it describes.
        kept: The memory cells that are read, in rising order, by (direction, layer); None for all.
    """

    path: Path
    weights: BilmWeights
    kept: Mapping[tuple[int, int], Array] | None = None

    def of_cells(self, kept: Mapping[tuple[int, int], Array]) -> Gradients:
        """Return the gradients of the memory cells that are kept."""
        return replace(self, kept=kept)

    def output_covariances(self) -> OutputCovariances:
        """Read the output covariances.

        Raises:
            InputError: See `read_output_covariances`.
        """
        covariances = read_output_covariances(self.path, self.weights)
        return covariances if self.kept is None else covariances.of_cells(self.kept)

    def row_weights(self) -> RowWeights:
        """Read the row weights.

        Raises:
            InputError: See `read_row_weights`.
        """
        rows = read_row_weights(self.path, self.weights)
        return rows if self.kept is None else rows.of_cells(self.kept)
