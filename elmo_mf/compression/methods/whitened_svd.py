"""Singular value decomposition on the inputs that a matrix really has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression.methods.base import NOTHING, Evidence, balanced, positive, register
from elmo_mf.compression.methods.truncation import SvdMethod


@register("whitened_svd")
@dataclass(frozen=True)
class WhitenedSvd(SvdMethod):
    """The factors of rank r with the least E|W x - A B x|^2 = |(W - A B) C^(1/2)|_F^2, where C = E[x x^T].

    As in DRONE (Chen et al. 2021) and SVD-LLM (Wang et al. 2024): with C^(1/2) a Cholesky factor and U the left
    singular vectors of W C^(1/2), A = U_r and B = U_r^T W. This form needs no inverse of C.

    Attributes:
        ridge: what is added to C's diagonal, as a share of its mean: for inputs that calibration never saw.
    """

    ridge: float = 1e-3
    needs_inputs = True

    def __post_init__(self) -> None:
        positive("ridge", self.ridge)

    def truncated(self, u: Array, s: Array, vt: Array, matrix: Array, evidence: Evidence) -> Factors:
        return balanced(u, u.T @ matrix.astype(np.float64))

    def weighted(self, matrix: Array, evidence: Evidence = NOTHING) -> Array:
        assert evidence.inputs is not None
        return np.asarray(matrix.astype(np.float64) @ square_root(evidence.inputs, self.ridge))


def square_root(moments: Array, ridge: float) -> Array:
    """L with L L^T = C + ridge mean(diag C) I in float64, (n, n); of zero moments, that of the identity."""
    c = moments.astype(np.float64)
    scale = np.trace(c) / len(c)
    if scale <= 0:
        return np.eye(len(c))
    c = c / scale
    try:
        return np.asarray(np.linalg.cholesky(c + ridge * np.eye(len(c))) * np.sqrt(scale))
    except np.linalg.LinAlgError:  # singular, and the ridge is nothing
        values, vectors = np.linalg.eigh(c)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0) * scale))
