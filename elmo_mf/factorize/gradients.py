"""Files of row weights: what a task's loss says of each output of a matrix.

HDF5 with one dataset (m,) a matrix, `<direction>/<layer>/<target>`: the sum over the row of E[(dL/dw)^2].
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from elmo_mf.bilm.checkpoint import is_here
from elmo_mf.bilm.weights import DIRECTIONS, JOINT, TARGETS, Array, BilmWeights
from elmo_mf.errors import InputError, missing
from elmo_mf.factorize.slot import Slot
from elmo_mf.io import atomic_path, hdf5_file


@dataclass(frozen=True)
class RowWeights:
    """Row weights (m,) by direction, layer and target."""

    rows: dict[tuple[int, int, str], Array]

    def of(self, slot: Slot) -> Array:
        """Those of a matrix; a joint one has the sum of its two."""
        names = ("input", "recurrent") if slot.target == JOINT else (slot.target,)
        return np.asarray(sum(self.rows[slot.direction, slot.layer, name] for name in names))


def write_row_weights(path: Path, weights: RowWeights, about: dict[str, Any]) -> None:
    """Write a file, atomically; `about` says what made it."""
    with atomic_path(path) as temporary, hdf5_file(temporary) as file:
        for name, value in about.items():
            file.attrs[name] = str(value)
        for (direction, layer, target), rows in weights.rows.items():
            file.create_dataset(_name(direction, layer, target), data=rows.astype(np.float64))


def read_row_weights(path: Path, weights: BilmWeights) -> RowWeights:
    """Read and check a file against the weights that it is about.

    # Raises
    InputError: the file is missing or not HDF5; a dataset is missing, of another shape, negative or no number.
    """
    if not path.is_file():
        raise missing(path, "file of gradients", "what elmo-mf gradients writes")
    try:
        with h5py.File(path, "r") as file:
            rows: dict[tuple[int, int, str], Array] = {
                (direction, layer, target): _read(path, file, direction, layer, target, len(lstm.bias), lstm.matrices)
                for (direction, layer), lstm in weights.lstms.items()
                for target in TARGETS
                if target in lstm.matrices
            }
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{path}: found a file that is truncated or not HDF5 ({reason}), expected gradients") from None
    return RowWeights(rows)


def _read(path: Path, file: Any, direction: int, layer: int, target: str, gates: int, matrices: Any) -> Array:
    name = _name(direction, layer, target)
    length = matrices["projection"].shape[0] if target == "projection" else gates
    found = file.get(name)
    own = isinstance(found, h5py.Dataset) and is_here(file, name)
    if not own or found.shape != (length,) or found.dtype.kind != "f":
        shape = f"shape {found.shape}" if isinstance(found, h5py.Dataset) else "nothing"
        raise InputError(f"{path}: {name}: found {shape}, expected ({length},) numbers, one for each row")
    values = np.asarray(found[()], dtype=np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise InputError(f"{path}: {name}: found negative or infinite values, expected sums of squares")
    return values


def _name(direction: int, layer: int, target: str) -> str:
    return f"{DIRECTIONS[direction]}/{layer}/{target}"
