"""Output covariances: second moments of a loss's gradients with respect to the outputs of a matrix, token by token.

They lie in the file of row weights: HDF5 with the datasets `<direction>/<layer>/gates_covariance` (4n, 4n), which all
matrices of the gates share, and `<direction>/<layer>/projection_covariance` (p, p), float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elmo_mf.bilm.weights import DIRECTIONS, GATES, Array, BilmWeights, Target, rows_of_cells
from elmo_mf.compression.matrix_reference import MatrixReference
from elmo_mf.storage.numbers import NumbersFile


@dataclass(frozen=True)
class OutputCovariances:
    """Output covariances (m, m) by direction, layer and what the outputs are: `gates` or `projection`."""

    covariances: dict[tuple[int, int, str], Array]

    def of(self, reference: MatrixReference) -> Array:
        """Return the output covariance (m, m) of a matrix; those of the gates share one."""
        return self.covariances[reference.direction, reference.layer, outputs_of(reference.target)]

    def of_cells(self, kept: Mapping[tuple[int, int], Array]) -> OutputCovariances:
        """Return those of some memory cells' gates, by (direction, layer), and of all projections."""
        covariances = dict(self.covariances)
        for (*key, outputs), covariance in self.covariances.items():
            if outputs == "gates":
                rows = rows_of_cells(kept[key[0], key[1]], len(covariance) // GATES)
                covariances[key[0], key[1], outputs] = covariance[np.ix_(rows, rows)]
        return OutputCovariances(covariances)

    def datasets(self) -> Iterator[tuple[str, Array]]:
        """Yield the name and the numbers of each dataset."""
        for key, covariance in self.covariances.items():
            yield _name(*key), covariance


def outputs_of(target: Target) -> str:
    """Return what the outputs of a target's matrix are: `gates` or `projection`."""
    return "projection" if target == "projection" else "gates"


def read_output_covariances(path: Path, weights: BilmWeights) -> OutputCovariances:
    """Read a file and check it against the weights that it describes.

    Args:
        path: The file.
        weights: The dense weights.

    Returns:
        The output covariances, in float32.

    Raises:
        InputError: The file is missing, not HDF5, or has row weights alone; or a dataset is damaged, has another shape,
            or cannot be a covariance.
    """
    covariances: dict[tuple[int, int, str], Array] = {}
    with NumbersFile(path, "file of gradients", "what elmo-mf gradients writes") as file:
        for (direction, layer), lstm in weights.lstms.items():
            for target in lstm.matrices:
                key = direction, layer, outputs_of(target)
                if key not in covariances:
                    name, m = _name(*key), lstm.matrices[target].shape[0]
                    if not file.has(name):
                        file.fail(name, None, "a file that elmo-mf gradients wrote, without --no-covariances")
                    covariances[key] = file.read(name, (m, m))
                    if (np.diag(covariances[key]) < 0).any() or not np.allclose(
                        covariances[key], covariances[key].T, rtol=1e-3
                    ):
                        file.fail(name, "no covariance", "a symmetric matrix with a diagonal of squares")
    return OutputCovariances(covariances)


def _name(direction: int, layer: int, outputs: str) -> str:
    return f"{DIRECTIONS[direction]}/{layer}/{outputs}_covariance"
