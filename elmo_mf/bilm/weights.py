"""The arrays of a biLM in memory, between the HDF5 file, the factorization and the encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray
Target: TypeAlias = Literal["input", "recurrent", "projection"]

TARGETS: tuple[Target, ...] = ("input", "recurrent", "projection")
DIRECTIONS: tuple[str, str] = ("forward", "backward")


@dataclass(frozen=True)
class Factors:
    """A matrix of shape (m, n) kept as `left` (m, r) times `right` (r, n)."""

    left: Array
    right: Array

    @property
    def rank(self) -> int:
        return int(self.left.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix that the factors stand for."""
        return self.left.shape[0], self.right.shape[1]

    @property
    def size(self) -> int:
        """Number of parameters."""
        return int(self.left.size + self.right.size)


Matrix: TypeAlias = Array | Factors


@dataclass(frozen=True)
class LstmWeights:
    """One direction of one layer.

    `matrices` maps each target to its matrix, outputs first: `input` (4n, d), `recurrent` (4n, p),
    `projection` (p, n). Gates lie in TensorFlow's order i, g, f, o; `bias` (4n,) is without the forget bias of 1
    that TensorFlow adds when it runs. `primed` is the state policy's h (p,) and c (n,), where they were stored.
    """

    matrices: dict[Target, Matrix]
    bias: Array
    primed: tuple[Array, Array] | None = None

    def with_matrix(self, target: Target, matrix: Matrix) -> LstmWeights:
        """With one matrix replaced, and without the primed state, which other weights would not have reached."""
        return replace(self, matrices={**self.matrices, target: matrix}, primed=None)


@dataclass(frozen=True)
class BilmWeights:
    """A whole biLM: the character CNN's arrays by their HDF5 name, and the LSTMs by (direction, layer)."""

    char_cnn: dict[str, Array]
    lstms: dict[tuple[int, int], LstmWeights]
