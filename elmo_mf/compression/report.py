"""What a compression did: each matrix's error and norms, sizes, and the speed that they promise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from elmo_mf.bilm.config import BilmOptions
from elmo_mf.bilm.encoder import Bilm
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
from elmo_mf.compression.activation_error import activation_error
from elmo_mf.compression.calibration.input_covariances import CALIBRATION_TEXT, Moments, calibration_sentences, moments
from elmo_mf.compression.highways import highway_moments
from elmo_mf.compression.norms import Norms
from elmo_mf.compression.size import MatrixSize, SizeReport, lstm_size, size_report


def compression_report(
    dense: BilmWeights, compressed: BilmWeights, options: BilmOptions, text: Path = CALIBRATION_TEXT
) -> dict[str, Any]:
    """JSON form.

    Args:
        text: what the encoders read to see how far they are apart, at most 50,000 tokens.

    Returns:
        `matrices` has one entry for each matrix that is not as it was: `rank`, `parameters`, `error` |W - W'|_F /
        |W|_F, `energy` (1 - error^2), `input_error` (the error of what the matrix gives for its inputs), `norms` of W;
        `highways` the same of the character CNN's highway layers, as far as they were factorized. `size` is
        `SizeReport.to_dict`; `predicted_speed_up` and `activation_error` see there.
    """
    size, seen = size_report(compressed, options), moments(dense, options, text)
    before, after = (Bilm(options, weights).eval() for weights in (dense, compressed))
    return {
        "matrices": matrix_reports(dense, compressed, size, seen),
        "highways": _highway_reports(dense, compressed, options, text),
        "activation_error": activation_error(before, after, calibration_sentences(text)),
        "size": size.to_dict(),
        "predicted_speed_up": predicted_speed_up(size),
    }


def named_rows(report: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Names and entries of all that a report has of matrices."""
    matrices = [(f"{row['direction']} {row['layer']} {row['target']}", row) for row in report["matrices"]]
    return matrices + [(f"highway {row['layer']}", row) for row in report["highways"]]


def matrix_reports(
    dense: BilmWeights, compressed: BilmWeights, size: SizeReport, seen: Mapping[tuple[int, int], Moments]
) -> list[dict[str, Any]]:
    """The part `matrices` of a compression's report."""
    ranks = {(row.direction, row.layer, row.target): row.rank for row in lstm_size(dense, 0, 0).matrices}
    entries = [(row, _matrix_report(row, dense, compressed, seen)) for row in size.matrices]
    return [
        entry
        for row, entry in entries
        if entry["error"] > 0 or row.rank != ranks.get((row.direction, row.layer, row.target))
    ]


def _matrix_report(
    row: MatrixSize, dense: BilmWeights, compressed: BilmWeights, seen: Mapping[tuple[int, int], Moments]
) -> dict[str, Any]:
    key = DIRECTIONS.index(row.direction), row.layer
    matrix, made = _dense(dense, key, row.target), _dense(compressed, key, row.target)
    return {
        "direction": row.direction, "layer": row.layer, "target": row.target, "shape": list(row.shape),
        "rank": row.rank, "parameters": row.parameters, **_errors(matrix, made, seen[key].of(row.target)),
    }  # fmt: skip


def _highway_reports(
    dense: BilmWeights, compressed: BilmWeights, options: BilmOptions, text: Path
) -> list[dict[str, Any]]:
    pairs = list(zip(*(highway_matrices(weights.char_cnn) for weights in (dense, compressed)), strict=True))
    if not any(isinstance(made, Factors) and not isinstance(matrix, Factors) for matrix, made in pairs):
        return []
    return [
        {"layer": layer, "shape": list(matrix.shape), "rank": made.rank, "parameters": made.size}
        | _errors(to_dense(matrix).astype(np.float64), to_dense(made).astype(np.float64), moments)
        for layer, ((matrix, made), moments) in enumerate(
            zip(pairs, highway_moments(dense, options, text), strict=True)
        )
        if isinstance(made, Factors)
    ]


def _errors(matrix: Array, made: Array, moments: Array) -> dict[str, Any]:
    error = _relative(matrix - made, matrix, None)
    return {
        "energy": 1 - error**2, "error": error, "input_error": _relative(matrix - made, matrix, moments),
        "norms": Norms.of(matrix).to_dict(),
    }  # fmt: skip


def predicted_speed_up(size: SizeReport) -> dict[str, float]:
    """How many times fewer multiply-adds a token: in the biLSTM, where it is also how many times fewer bytes are read,
    and in the encoder when every word is new to it. What `elmo-mf bench` measures comes near it for large matrices."""
    own, dense, characters = size.lstm_multiply_adds, size.lstm_dense_multiply_adds, size.around_multiply_adds
    return {"lstm": dense / own, "encoder": (dense + characters + size.around_saved) / (own + characters)}


def _dense(weights: BilmWeights, key: tuple[int, int], target: Target) -> Array:
    matrices = weights.lstms[key].matrices
    if target in matrices:
        return to_dense(matrices[target]).astype(np.float64)
    if target == JOINT:
        return np.concatenate([to_dense(matrices["input"]), to_dense(matrices["recurrent"])], axis=1).astype(np.float64)
    dense = weights.lstms[key].dense().matrices[target]
    return np.asarray(to_dense(dense), dtype=np.float64)


def _relative(difference: Array, matrix: Array, moments: Array | None) -> float:
    whole = _norm(matrix, moments)
    return _norm(difference, moments) / whole if whole > 0 else 0.0


def _norm(matrix: Array, moments: Array | None) -> float:
    """|M|_F, or the root of E|M x|^2."""
    if moments is None:
        return float(np.linalg.norm(matrix))
    return float(np.sqrt(max(0.0, np.einsum("ij,ij->", matrix @ moments, matrix))))
