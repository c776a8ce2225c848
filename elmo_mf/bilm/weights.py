"""The arrays of a biLM: what files are read into, compression changes, and encoders are built from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from elmo_mf.bilm.vocabulary import Vocabulary

Array: TypeAlias = np.ndarray
Target: TypeAlias = Literal["input", "recurrent", "projection", "joint"]

TARGETS: tuple[Target, ...] = ("input", "recurrent", "projection")
JOINT: Target = "joint"  # [W_x W_h], in place of input and recurrent
STACKED: tuple[Target, Target] = ("input", "recurrent")
STORED_TARGETS: tuple[Target, ...] = (JOINT, *TARGETS)
DIRECTIONS: tuple[str, str] = ("forward", "backward")
GATES = 4
HIGHWAY_GATES = ("carry", "transform")


@dataclass(frozen=True)
class Factors:
    """A matrix of shape (m, n) as the product of `left` (m, r) and `right` (r, n).

    With one factorization for each block of rows, such as a gate, `right` is (blocks * r, n), and block k of the rows
    of `left` is multiplied with rows k * r to (k + 1) * r of `right`.
    """

    left: Array
    right: Array

    @property
    def rank(self) -> int:
        """r, the rank of each block."""
        return int(self.left.shape[1])

    @property
    def blocks(self) -> int:
        """Number of blocks of rows that have factors of their own."""
        return len(self.right) // self.rank

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the product."""
        return self.left.shape[0], self.right.shape[1]

    @property
    def size(self) -> int:
        """Number of parameters."""
        return int(self.left.size + self.right.size)


@dataclass(frozen=True)
class Pruned:
    """A matrix with weights that are zero and stay zero. It is stored, and runs, with its zeros."""

    values: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the matrix, (m, n)."""
        return self.values.shape

    @property
    def size(self) -> int:
        """Number of parameters that are not zero."""
        return int(np.count_nonzero(self.values))


Matrix: TypeAlias = Array | Factors | Pruned


def to_dense(matrix: Matrix) -> Array:
    """Return a matrix as an array of its own type, with factors multiplied."""
    if isinstance(matrix, Factors):
        lefts = matrix.left.reshape(matrix.blocks, -1, matrix.rank)
        rights = matrix.right.reshape(matrix.blocks, matrix.rank, -1)
        return np.asarray((lefts @ rights).reshape(matrix.shape))
    return matrix.values if isinstance(matrix, Pruned) else matrix


def reorder_gates(matrix: Matrix, order: Sequence[int]) -> Matrix:
    """Return a matrix with its gates, a quarter of its rows each, in another order.

    Args:
        matrix: A matrix with 4n rows.
        order: For each gate of the result, its number in `matrix`, from 0 to 3.
    """
    if isinstance(matrix, Factors):
        right = reorder_rows(matrix.right, order) if matrix.blocks == GATES else matrix.right
        return Factors(reorder_rows(matrix.left, order), right)
    return Pruned(reorder_rows(matrix.values, order)) if isinstance(matrix, Pruned) else reorder_rows(matrix, order)


def reorder_rows(array: Array, order: Sequence[int]) -> Array:
    """Return an array with the quarters of its rows in another order.

    Args:
        array: An array with 4n rows.
        order: For each quarter of the result, its number in `array`, from 0 to 3.
    """
    gates = np.split(array, GATES)
    return np.concatenate([gates[index] for index in order])


def rows_of_cells(cells: Array, n: int) -> Array:
    """Return the rows of some memory cells in a matrix with 4n rows, gate by gate.

    Args:
        cells: Numbers of the cells, from 0 to n - 1.
        n: Number of all cells.
    """
    return np.concatenate([gate * n + cells for gate in range(GATES)])


@dataclass(frozen=True)
class LstmWeights:
    """The weights of one direction of one layer.

    Attributes:
        matrices: The matrix of each target, outputs first: `input` (4n, d), `recurrent` (4n, p), `projection` (p, n);
            or `joint` (4n, d + p) instead of the first two, with a left factor that they share. Gates are in
            TensorFlow's order i, g, f, o. Without `projection`, as in `torch.nn.LSTM`, the state is the gated cell, and
            p = n.
        bias: (4n,), without the forget bias of 1 that TensorFlow adds when it runs.
        primed: The starting h (p,) and c (n,) of the state policy `primed`, if they were stored.
    """

    matrices: dict[Target, Matrix]
    bias: Array
    primed: tuple[Array, Array] | None = None

    @property
    def state_size(self) -> int:
        """p, the width of the state."""
        return int(self.matrices["projection"].shape[0]) if "projection" in self.matrices else self.cells

    @property
    def cells(self) -> int:
        """n, the number of memory cells."""
        return len(self.bias) // GATES

    def with_matrix(self, target: Target, matrix: Matrix) -> LstmWeights:
        """Return a copy with one matrix replaced, and without the primed state, which is invalid for other weights.

        Args:
            target: The matrix to replace; `joint` replaces `input` and `recurrent`.
            matrix: The new one, outputs first.
        """
        replaced = ("input", "recurrent") if target == JOINT else ()
        kept = {name: other for name, other in self.matrices.items() if name not in replaced}
        return replace(self, matrices={**kept, target: matrix}, primed=None)

    def dense(self) -> LstmWeights:
        """Return a copy with every matrix as an array, and `joint` split into `input` and `recurrent`."""
        matrices = {target: to_dense(matrix) for target, matrix in self.matrices.items()}
        if JOINT in matrices:
            joint, p = matrices.pop(JOINT), self.state_size
            matrices |= {"input": joint[:, :-p], "recurrent": joint[:, -p:]}
        return replace(self, matrices=dict(matrices))


@dataclass(frozen=True)
class BilmWeights:
    """The weights of a biLM, or of a language model's core, which has one direction and no token layer.

    Attributes:
        token_layer: The arrays of the character CNN, see `highway_matrices`, or of the word table, by their HDF5 name.
        lstms: The LSTMs by direction (0 is forward, 1 backward) and layer.
        vocabulary: The words of the rows of a word table or a Unicode CNN; None for a character CNN.
    """

    token_layer: dict[str, Array]
    lstms: dict[tuple[int, int], LstmWeights]
    vocabulary: Vocabulary | None = None

    def dense(self) -> BilmWeights:
        """Return a copy with every matrix as an array."""
        arrays = self.token_layer
        for layer, matrix in enumerate(highway_matrices(arrays)):
            arrays = with_highway(arrays, layer, to_dense(matrix))
        return replace(self, token_layer=arrays, lstms={key: lstm.dense() for key, lstm in self.lstms.items()})

    @property
    def cells(self) -> int:
        """Number of memory cells in each direction of each layer of a biLM."""
        return next(iter(self.lstms.values())).cells

    def first_other_layer(self, weights: BilmWeights, direction: int) -> int:
        """Return the first layer of a direction that is another object in `weights`; if none is, their number.

        Args:
            weights: Weights with the same layers.
            direction: 0 for forward, 1 for backward.
        """
        layers = sorted(layer for other, layer in self.lstms if other == direction)
        others = (k for k in layers if self.lstms[direction, k] is not weights.lstms[direction, k])
        return next(others, len(layers))


def highway_matrices(char_cnn: Mapping[str, Array]) -> list[Array | Factors]:
    """Return each highway layer's [W_carry; W_transform] (2n, n), outputs first.

    The arrays are those of the file, inputs first: `W_carry` and `W_transform` (n, n), or `W_left` (n, r) and `W_right`
    (r, 2n).
    """
    layers = sum(name.startswith("CNN_high_") and name.endswith("/b_carry") for name in char_cnn)
    return [_highway_matrix(char_cnn, f"CNN_high_{layer}") for layer in range(layers)]


def _highway_matrix(char_cnn: Mapping[str, Array], group: str) -> Array | Factors:
    if f"{group}/W_left" in char_cnn:
        return Factors(char_cnn[f"{group}/W_right"].T, char_cnn[f"{group}/W_left"].T)
    return np.concatenate([char_cnn[f"{group}/W_{gate}"].T for gate in HIGHWAY_GATES])


def with_highway(char_cnn: Mapping[str, Array], layer: int, matrix: Matrix) -> dict[str, Array]:
    """Return the arrays with another matrix in a highway layer.

    Args:
        char_cnn: Arrays of a character CNN, see `highway_matrices`; they stay unchanged.
        layer: Number of the highway layer, counted from 0.
        matrix: [W_carry; W_transform] (2n, n), outputs first, dense or factored.
    """
    group = f"CNN_high_{layer}"
    kept = {name: array for name, array in char_cnn.items() if not name.startswith(f"{group}/W_")}
    if isinstance(matrix, Factors):
        return kept | {f"{group}/W_left": matrix.right.T, f"{group}/W_right": matrix.left.T}
    gates = np.split(to_dense(matrix), len(HIGHWAY_GATES))
    return kept | {f"{group}/W_{name}": gate.T for name, gate in zip(HIGHWAY_GATES, gates, strict=True)}
