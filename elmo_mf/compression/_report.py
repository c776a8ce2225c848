"""The report on a compression: the error and norms of each matrix, sizes, and the predicted speed-up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.weights import (
    DIRECTIONS,
    JOINT,
    Array,
    BilmWeights,
    Factors,
    Target,
    highway_matrices,
    to_dense,
)
from elmo_mf.compression._activation_error import ActivationError, activation_error
from elmo_mf.compression._decomposition import is_large
from elmo_mf.compression.calibration import (
    CALIBRATION_TEXT,
    ElmoInputs,
    InputCovariances,
    calibration_sentences,
)
from elmo_mf.compression.matrix_reference import MatrixPlace
from elmo_mf.compression.norms import Norms
from elmo_mf.compression.size import MatrixSize, SizeReport, lstm_size, size_report


@dataclass(frozen=True)
class FactorizationError:
    """The errors of one compressed matrix W' in place of W.

    Attributes:
        shape: Rows and columns.
        rank: Rank of the factors; None for a pruned matrix.
        parameters: Parameters that are kept.
        energy: Share of the squared Frobenius norm that is kept, 1 - error^2.
        error: |W - W'|_F / |W|_F.
        input_error: The same error of the products with the matrix's inputs x, the root of E|(W - W') x|^2 / E|W x|^2.
        norms: Norms of W.
    """

    shape: tuple[int, int]
    rank: int | None
    parameters: int
    energy: float
    error: float
    input_error: float
    norms: Norms

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self) | {"shape": list(self.shape)}

    @property
    def form(self) -> str:
        """The rank as text; for a matrix without a rank, `pruned` or `dense`."""
        if self.rank is not None:
            return str(self.rank)
        return "pruned" if self.parameters < prod(self.shape) else "dense"


@dataclass(frozen=True)
class MatrixReport(MatrixPlace):
    """A compressed matrix of the LSTMs."""

    factorization: FactorizationError

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        place = {"direction": self.direction, "layer": self.layer, "target": self.target}
        return place | self.factorization.to_dict()


@dataclass(frozen=True)
class HighwayReport:
    """A compressed highway layer of the character CNN, both gates as one matrix."""

    layer: int
    factorization: FactorizationError

    @property
    def name(self) -> str:
        """The layer as a text."""
        return f"highway {self.layer}"

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"layer": self.layer} | self.factorization.to_dict()


@dataclass(frozen=True)
class SpeedUp:
    """Ratio of the multiply-adds of a token, dense to compressed.

    Attributes:
        lstm: In the biLSTM, where it is also how many times fewer bytes are read.
        encoder: In the whole encoder, when every word is new to it.
    """

    lstm: float
    encoder: float


@dataclass(frozen=True)
class CompressionReport:
    """Report on a compression of an encoder.

    Attributes:
        cells: Number of memory cells in each direction of each layer, before and after.
        matrices: Each matrix of the LSTMs that the factorization changed.
        highways: Each highway layer that was factorized.
        activation_error: Error of the layers' outputs.
        size: Parameters, bytes and multiply-adds.
        predicted_speed_up: By multiply-adds; for large matrices `elmo-mf bench` measures nearly as much.
    """

    cells: tuple[int, int]
    matrices: tuple[MatrixReport, ...]
    highways: tuple[HighwayReport, ...]
    activation_error: ActivationError
    size: SizeReport
    predicted_speed_up: SpeedUp

    @property
    def rows(self) -> tuple[MatrixReport | HighwayReport, ...]:
        """All compressed matrices."""
        return (*self.matrices, *self.highways)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "cells": list(self.cells),
            "matrices": [matrix.to_dict() for matrix in self.matrices],
            "highways": [highway.to_dict() for highway in self.highways],
            "activation_error": self.activation_error.to_dict(),
            "size": self.size.to_dict(),
            "predicted_speed_up": asdict(self.predicted_speed_up),
        }


def compression_report(
    dense: BilmWeights,
    compressed: BilmWeights,
    options: BilmOptions,
    text: Path = CALIBRATION_TEXT,
    unfactored: BilmWeights | None = None,
    dtype: str = "float32",
    stored: BilmWeights | None = None,
    inputs: ElmoInputs | None = None,
) -> CompressionReport:
    """Compare compressed weights with the dense ones.

    Args:
        dense: Weights of the dense encoder.
        compressed: Weights of the compressed encoder.
        options: Options of the dense encoder.
        text: Text on which activations are compared, tokenised; the first 50,000 tokens are read.
        unfactored: Weights before the factorization, with which matrices are compared. Defaults to the dense ones.
        dtype: Type in which the compressed weights are stored, for their bytes. Defaults to float32.
        stored: The compressed weights as they are stored, rounded or rebuilt, whose sizes and errors are reported.
            Defaults to the compressed ones.
        inputs: Inputs of the matrices before the factorization, which are used if they are of the same text. Defaults
            to none: they are computed.

    Raises:
        InputError: The text cannot be read or has no words.
    """
    smaller, stored = options.with_cells(compressed.cells), stored or compressed
    size = size_report(stored, smaller, dense.cells, dtype)
    matrices, highways = compressed_matrices(unfactored or dense, compressed, smaller, text, stored, inputs)
    before, after = (Bilm(*both).eval() for both in ((options, dense), (smaller, stored)))
    return CompressionReport(
        cells=(dense.cells, compressed.cells),
        matrices=matrices,
        highways=highways,
        activation_error=activation_error(before, after, calibration_sentences(text)),
        size=size,
        predicted_speed_up=predicted_speed_up(size),
    )


def compressed_matrices(
    dense: BilmWeights,
    compressed: BilmWeights,
    options: BilmOptions,
    text: Path = CALIBRATION_TEXT,
    stored: BilmWeights | None = None,
    inputs: ElmoInputs | None = None,
) -> tuple[tuple[MatrixReport, ...], tuple[HighwayReport, ...]]:
    """Compare matrices before and after a compression, as `compression_report` does.

    Args:
        dense: Weights of the dense encoder.
        compressed: Weights of the compressed encoder.
        options: Options of both.
        text: Tokenised text that gives the inputs of the matrices; the first 50,000 tokens are read.
        stored: See `compression_report`.
        inputs: See `compression_report`.

    Returns:
        The matrices of the LSTMs that are not as they were, and the highway layers that were factorized.

    Raises:
        InputError: The text cannot be read or has no words.
    """
    if inputs is None or inputs.text != text:
        inputs = ElmoInputs(dense, options, text)
    highways = tuple(_highway_reports(dense, compressed, stored or compressed, inputs))
    size = size_report(compressed, options)
    return tuple(matrix_reports(dense, stored or compressed, size, inputs.covariances)), highways


def matrix_reports(
    dense: BilmWeights,
    compressed: BilmWeights,
    size: SizeReport,
    covariances: Mapping[tuple[int, int], InputCovariances],
) -> Iterator[MatrixReport]:
    """Compare each matrix of the LSTMs, and report those that are not as they were.

    Args:
        dense: Weights of the dense model.
        compressed: Weights of the compressed model, as factors or rebuilt.
        size: Size of the compressed model, with the ranks of its factors.
        covariances: Input covariances of the dense model.
    """
    ranks = {row.place: row.rank for row in lstm_size(dense, 0, 0).matrices}
    for row in size.matrices:
        error = _matrix_error(row, dense, compressed, covariances)
        if error.error > 0 or row.rank != ranks.get(row.place):
            yield MatrixReport(*row.place, error)


def predicted_speed_up(size: SizeReport) -> SpeedUp:
    """Predict the speed-up of a compressed encoder from its multiply-adds."""
    compressed, dense, around = size.lstm_multiply_adds, size.lstm_dense_multiply_adds, size.around_multiply_adds
    return SpeedUp(dense / compressed, (dense + around + size.around_saved) / (compressed + around))


def _matrix_error(
    row: MatrixSize,
    dense: BilmWeights,
    compressed: BilmWeights,
    covariances: Mapping[tuple[int, int], InputCovariances],
) -> FactorizationError:
    key = DIRECTIONS.index(row.direction), row.layer
    before, after = _dense(dense, key, row.target), _dense(compressed, key, row.target)
    return _error(before, after, row.rank, row.parameters, covariances[key].of(row.target))


def _highway_reports(
    dense: BilmWeights, compressed: BilmWeights, stored: BilmWeights, inputs: ElmoInputs
) -> Iterator[HighwayReport]:
    layers = list(zip(*(highway_matrices(weights.token_layer) for weights in (dense, compressed, stored)), strict=True))
    if not any(isinstance(after, Factors) and not isinstance(before, Factors) for before, after, _ in layers):
        return
    covariances = inputs.highway_covariances
    for layer, ((before, after, kept), covariance) in enumerate(zip(layers, covariances, strict=True)):
        if isinstance(after, Factors):
            dense_matrix, rebuilt = (to_dense(matrix).astype(np.float64) for matrix in (before, kept))
            yield HighwayReport(layer, _error(dense_matrix, rebuilt, after.rank, after.size, covariance))


def _error(before: Array, after: Array, rank: int | None, parameters: int, covariance: Array) -> FactorizationError:
    error = _relative(before - after, before, None)
    return FactorizationError(
        shape=(before.shape[0], before.shape[1]),
        rank=rank,
        parameters=parameters,
        energy=1 - error**2,
        error=error,
        input_error=_relative(before - after, before, covariance),
        norms=Norms.of(before),
    )


def _dense(weights: BilmWeights, key: tuple[int, int], target: Target) -> Array:
    matrices = weights.lstms[key].matrices
    if target in matrices:
        return to_dense(matrices[target]).astype(np.float64)
    if target == JOINT:
        return np.concatenate([to_dense(matrices["input"]), to_dense(matrices["recurrent"])], axis=1).astype(np.float64)
    dense = weights.lstms[key].dense().matrices[target]
    return np.asarray(to_dense(dense), dtype=np.float64)


def _relative(difference: Array, matrix: Array, covariance: Array | None) -> float:
    whole = _norm(matrix, covariance)
    return _norm(difference, covariance) / whole if whole > 0 else 0.0


def _norm(matrix: Array, covariance: Array | None) -> float:
    """|M|_F, or the root of E|M x|^2 for inputs x of a covariance."""
    if covariance is None:
        return float(np.linalg.norm(matrix))
    weighted = (matrix.T @ matrix, covariance) if is_large(matrix) else (matrix @ covariance, matrix)
    return float(np.sqrt(max(0.0, np.einsum("ij,ij->", *weighted))))
