"""References to matrices that can be factorized, and the cost of their factors."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import cast

import numpy as np

from elmo_mf.bilm.weights import (
    DIRECTIONS,
    GATES,
    JOINT,
    STACKED,
    TARGETS,
    Array,
    BilmWeights,
    Factors,
    Matrix,
    Pruned,
    Target,
    highway_matrices,
)
from elmo_mf.errors import InputError
from elmo_mf.records.compression import Compression


class _FactorCosts:
    """Costs of the factors of a matrix (m, n) in `blocks` blocks of rows, each with factors of its own."""

    shape: tuple[int, int]
    blocks: int

    @property
    def cost(self) -> int:
        """Parameters of each rank, m + blocks n."""
        m, n = self.shape
        return m + self.blocks * n

    @property
    def break_even(self) -> float:
        """The rank at which factors have as many parameters as the matrix."""
        m, n = self.shape
        return break_even_rank(m // self.blocks, n)

    @property
    def full_rank(self) -> int:
        """The largest rank that a block can have."""
        m, n = self.shape
        return min(m // self.blocks, n)

    @property
    def largest_useful_rank(self) -> int:
        """The largest rank below break-even, at least 1."""
        return max(1, ceil(self.break_even) - 1)


@dataclass(frozen=True)
class MatrixPlace:
    """Place of a matrix of the LSTMs, for readers.

    Attributes:
        direction: `forward` or `backward`.
        layer: Number of the layer, counted from 0.
        target: Which of the layer's matrices.
    """

    direction: str
    layer: int
    target: Target

    @property
    def place(self) -> tuple[str, int, Target]:
        """Direction, layer and target."""
        return self.direction, self.layer, self.target

    @property
    def name(self) -> str:
        """Direction, layer and target in one text."""
        return f"{self.direction} {self.layer} {self.target}"


@dataclass(frozen=True)
class MatrixReference(_FactorCosts):
    """A matrix of one direction of one LSTM layer.

    Attributes:
        direction: 0 for forward, 1 for backward.
        layer: Number of the layer, counted from 0.
        target: Which of the layer's matrices.
        shape: Rows and columns, outputs first.
        blocks: 4 where each gate has factors of its own, else 1.
    """

    direction: int
    layer: int
    target: Target
    shape: tuple[int, int]
    blocks: int = 1

    @classmethod
    def of(cls, weights: BilmWeights, key: tuple[int, int], target: Target, per_gate: bool) -> MatrixReference:
        """Refer to a matrix of `weights`.

        Args:
            weights: Weights of a model.
            key: Direction and layer.
            target: Which matrix of that layer.
            per_gate: Whether each gate is to have factors of its own.

        Returns:
            The reference.

        Raises:
            InputError: The matrix is factored or pruned already.
        """
        lstm = weights.lstms[key]
        for name in STACKED if target == JOINT else (target,):
            matrix = lstm.matrices.get(name, lstm.matrices.get(JOINT))
            if not isinstance(matrix, np.ndarray):
                label = _name(key, name if name in lstm.matrices else JOINT, cast(Matrix, matrix).shape)
                raise InputError("compression.targets", f"found {label} {_form(matrix)}, expected a dense matrix")
        m, n = cast(Array, lstm.matrices[target if target != JOINT else "input"]).shape
        blocks = GATES if per_gate and target != "projection" else 1
        return cls(*key, target, (m, n + lstm.state_size if target == JOINT else n), blocks)

    @property
    def key(self) -> tuple[int, int]:
        """Direction and layer, the key of `BilmWeights.lstms`."""
        return self.direction, self.layer

    def matrix(self, weights: BilmWeights) -> Array:
        """Return the dense matrix, (m, n)."""
        matrices = weights.lstms[self.key].matrices
        if self.target == JOINT:
            return np.concatenate([cast(Array, matrices["input"]), cast(Array, matrices["recurrent"])], axis=1)
        return cast(Array, matrices[self.target])

    def __str__(self) -> str:
        return _name(self.key, self.target, self.shape)


@dataclass(frozen=True)
class HighwayReference(_FactorCosts):
    """Both gates of a highway layer as one matrix, (2n, n).

    Attributes:
        layer: Number of the highway layer, counted from 0.
        shape: Rows and columns, outputs first.
        blocks: 1: both gates share their factors.
    """

    layer: int
    shape: tuple[int, int]
    blocks: int = 1

    def __str__(self) -> str:
        return f"highway layer {self.layer} ({self.shape[0]} x {self.shape[1]})"


def highway_references(weights: BilmWeights) -> list[HighwayReference]:
    """Return references to all highway layers, first to last."""
    return [
        HighwayReference(layer, (matrix.shape[0], matrix.shape[1]))
        for layer, matrix in enumerate(highway_matrices(weights.token_layer))
    ]


def matrix_references(weights: BilmWeights, compression: Compression) -> list[MatrixReference]:
    """List the matrices of the LSTMs that a compression factorizes.

    Args:
        weights: Weights of the model.
        compression: What to factorize.

    Returns:
        A reference to each matrix, by direction, layer and target.

    Raises:
        InputError: The model has no such layer, direction or matrix; a matrix is factored already; or a rank is above
            the matrix's.
    """
    targets = _targets(weights, compression)
    last = max(layer for _, layer in weights.lstms)
    if compression.layers != "all" and max(compression.layers) > last:
        raise InputError("compression.layers", f"found {max(compression.layers)}, expected 0 to {last}")
    references = [
        MatrixReference.of(weights, key, target, compression.granularity == "gate")
        for key in weights.lstms
        if (compression.directions == "all" or DIRECTIONS[key[0]] in compression.directions)
        and (compression.layers == "all" or key[1] in compression.layers)
        for target in targets
    ]
    if compression.targets and not references:  # a language model has one direction
        raise InputError("compression.directions", "found backward, expected forward, the only direction of this model")
    if compression.budget is None:
        for reference in references:
            rank = compression.rank_for(reference.target)
            if rank > reference.full_rank:
                expected = f"at most {reference.full_rank}, the rank of {reference}"
                raise InputError("compression.rank", f"found {rank}, expected {expected}")
    return references


def _targets(weights: BilmWeights, compression: Compression) -> list[Target]:
    """The targets that the weights have; "all" is without projection where there is none."""
    projected = any("projection" in lstm.matrices for lstm in weights.lstms.values())
    targets = [target for target in compression.targets if projected or target != "projection"]
    if len(targets) < len(compression.targets) and compression.targets != TARGETS:
        raise InputError(
            "compression.targets", "found projection, expected input or recurrent: this model has no projections"
        )
    return targets


def break_even_rank(m: int, n: int) -> float:
    """Return the rank at which factors have as many parameters as the matrix, m n / (m + n).

    Args:
        m: Rows of the matrix.
        n: Its columns.
    """
    return m * n / (m + n)


def _name(key: tuple[int, int], target: str, shape: tuple[int, ...]) -> str:
    return f"{DIRECTIONS[key[0]]} layer {key[1]} {target} ({shape[0]} x {shape[1]})"


def _form(matrix: Matrix | None) -> str:
    return "pruned" if isinstance(matrix, Pruned) else f"factored at rank {cast(Factors, matrix).rank}"
