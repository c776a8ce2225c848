"""Spectra and norms of the matrices of a biLM, and of each gate's rows of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from elmo_mf.bilm.weights import (
    DIRECTIONS,
    GATES,
    STORED_TARGETS,
    Array,
    BilmWeights,
    Factors,
    Matrix,
    Pruned,
    Target,
    to_dense,
)
from elmo_mf.compression._decomposition import singular_values
from elmo_mf.compression.matrix_reference import MatrixPlace
from elmo_mf.compression.norms import Norms
from elmo_mf.progress import track

GATE_NAMES = ("i", "g", "f", "o")


@dataclass(frozen=True)
class MatrixFacts(MatrixPlace):
    """Spectrum and norms of one matrix, or of one gate's rows of it.

    Attributes:
        gate: Name of the gate; None for the whole matrix.
        shape: Rows and columns.
        form: `dense`, `rank 8`, `rank 8 a gate` or `pruned to 10%`; empty for a gate.
        spectrum: Singular values in falling order.
        norms: Norms of the matrix.
    """

    gate: str | None
    shape: tuple[int, int]
    form: str
    spectrum: Array
    norms: Norms

    @property
    def name(self) -> str:
        """Direction, layer, target and gate in one text."""
        return super().name + (f" {self.gate}" if self.gate else "")

    def rank_for(self, share: float) -> int:
        """The least rank whose truncation keeps a share of the squared Frobenius norm; 0 for a zero matrix."""
        squares = np.cumsum(self.spectrum**2)
        return int(np.searchsorted(squares, share * squares[-1] * (1 - 1e-12)) + 1) if squares[-1] > 0 else 0

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "direction": self.direction, "layer": self.layer, "target": self.target, "gate": self.gate,
            "shape": list(self.shape), "form": self.form, "rank_for_90": self.rank_for(0.9),
            "rank_for_99": self.rank_for(0.99), "norms": self.norms.to_dict(), "spectrum": self.spectrum.tolist(),
        }  # fmt: skip


def inspect(weights: BilmWeights, gates: bool = True) -> list[MatrixFacts]:
    """Compute the spectrum and norms of every matrix; of factors, those of their product.

    Args:
        weights: Weights of an encoder, dense or compressed.
        gates: Whether to compute those of each gate's rows too, behind those of the whole matrix. Defaults to True.
    """
    matrices = [
        (direction, layer, target, lstm.matrices[target])
        for (direction, layer), lstm in sorted(weights.lstms.items())
        for target in STORED_TARGETS
        if target in lstm.matrices
    ]
    return [
        _facts(direction, layer, target, gate, form, part)
        for direction, layer, target, matrix in track(matrices, "decomposition", "matrices")
        for gate, form, part in _parts(target, matrix, gates)
    ]


def _parts(target: str, matrix: Matrix, gates: bool) -> Iterator[tuple[str | None, str, Array]]:
    dense = to_dense(matrix)
    yield None, _form(matrix), dense
    if gates and target != "projection":
        for gate, rows in zip(GATE_NAMES, np.split(dense, GATES), strict=True):
            yield gate, "", rows


def _facts(direction: int, layer: int, target: Target, gate: str | None, form: str, matrix: Array) -> MatrixFacts:
    m, n = matrix.shape
    spectrum = singular_values(matrix)
    return MatrixFacts(DIRECTIONS[direction], layer, target, gate, (m, n), form, spectrum, Norms.of(matrix, spectrum))


def _form(matrix: Matrix) -> str:
    if isinstance(matrix, Factors):
        return f"rank {matrix.rank}" + (" a gate" if matrix.blocks > 1 else "")
    return f"pruned to {matrix.size / matrix.values.size:.0%}" if isinstance(matrix, Pruned) else "dense"
