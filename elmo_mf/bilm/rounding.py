"""Matrices of products rounded to the type of a precision, so that they can be stored in it as they run."""

from __future__ import annotations

from dataclasses import replace

import torch

from elmo_mf.bilm.choices import Precision
from elmo_mf.bilm.small_types import from_int8, to_int8
from elmo_mf.bilm.weights import (
    Array,
    BilmWeights,
    Factors,
    Matrix,
    Pruned,
    highway_matrices,
    with_highway,
)

_PROJECTION = "CNN_proj/W_proj"


def rounded_products(weights: BilmWeights, precision: Precision) -> BilmWeights:
    """Round the matrices that a precision multiplies: all but the convolutions', and no biases or tables.

    Args:
        weights: The weights, which stay unchanged.
        precision: `int8` for whole numbers with a scale for each row, an output or a rank; `bfloat16`; or `float32`
            for the weights as they are.
    """
    if precision == "float32":
        return weights
    arrays = weights.token_layer
    for layer, matrix in enumerate(highway_matrices(arrays)):
        arrays = with_highway(arrays, layer, _rounded_matrix(matrix, precision))
    if _PROJECTION in arrays:
        arrays = arrays | {_PROJECTION: _rounded(arrays[_PROJECTION].T, precision).T}
    lstms = {
        key: replace(lstm, matrices={target: _rounded_matrix(one, precision) for target, one in lstm.matrices.items()})
        for key, lstm in weights.lstms.items()
    }
    return replace(weights, token_layer=arrays, lstms=lstms)


def _rounded_matrix(matrix: Matrix, precision: Precision) -> Matrix:
    if isinstance(matrix, Factors):
        return Factors(_rounded(matrix.left, precision), _rounded(matrix.right, precision))
    if isinstance(matrix, Pruned):
        return Pruned(_rounded(matrix.values, precision))
    return _rounded(matrix, precision)


def _rounded(rows: Array, precision: Precision) -> Array:
    numbers = torch.tensor(rows)
    return (from_int8(*to_int8(numbers, 1)) if precision == "int8" else numbers.bfloat16().float()).numpy()
