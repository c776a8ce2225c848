"""Singular value decompositions, and square roots of covariances."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Protocol

import numpy as np

from elmo_mf.bilm.weights import Array

if TYPE_CHECKING:
    from torch import Tensor

_LARGE = 1 << 22  # numbers in a matrix, as the gates' and the highway layers' have at ELMo's original size
_RESOLVED = 1e-4  # of the largest singular value; the vectors of smaller ones are lost in the rounding of float32


class Svd(Protocol):
    """Singular values and vectors of a matrix (m, n)."""

    @property
    def values(self) -> Array:
        """All singular values in falling order."""

    def first(self, rank: int) -> tuple[Array, Array, Array]:
        """Return U (m, rank), the singular values (rank,) and V^T (rank, n), in float64."""


@dataclass(frozen=True)
class ExactSvd:
    """All singular vectors, see `svd`."""

    u: Array
    values: Array
    vt: Array

    def first(self, rank: int) -> tuple[Array, Array, Array]:
        """See `Svd.first`."""
        return self.u[:, :rank], self.values[:rank], self.vt[:rank]


@dataclass(frozen=True)
class GramSvd:
    """The decomposition of a large matrix M by the eigenvectors of the smaller one of M M^T and M^T M.

    It takes a third of the time of `svd`. Vectors of the longer side are computed as they are asked for, so that they
    take no memory; where singular values are too small for this, `svd` takes its place.

    Attributes:
        matrix: M (m, n), in float32.
        values: All singular values in falling order, with an absolute error of about 1e-8 times the largest.
        vectors: The singular vectors of the shorter side, (k, k), as columns.
    """

    matrix: Array
    values: Array
    vectors: Array

    @classmethod
    def of(cls, matrix: Array) -> GramSvd:
        """Decompose a matrix."""
        import torch

        squares, vectors = torch.linalg.eigh(torch.from_numpy(_gram(matrix)))
        values = np.sqrt(np.maximum(squares.numpy()[::-1], 0))
        return cls(matrix.astype(np.float32), values, vectors.numpy()[:, ::-1])

    def first(self, rank: int) -> tuple[Array, Array, Array]:
        """See `Svd.first`."""
        s, known = self.values[:rank], self.vectors[:, :rank]
        if (s <= _RESOLVED * self.values[0]).any():
            return ExactSvd(*svd(self.matrix)).first(rank)
        if self.matrix.shape[0] < self.matrix.shape[1]:
            return known, s, known.T @ self.matrix / s[:, None]
        return self.matrix @ known / s, s, known.T


def decomposition(matrix: Array) -> Svd:
    """Decompose a matrix (m, n), in float64."""
    return GramSvd.of(matrix) if is_large(matrix) else ExactSvd(*svd(matrix))


def is_large(matrix: Array) -> bool:
    """Return whether a matrix is so large that time counts more than the last digits."""
    return prod(matrix.shape) >= _LARGE


def _gram(matrix: Array) -> Array:
    """M M^T or M^T M, whichever is smaller, in float64."""
    w = matrix.astype(np.float64, copy=False)
    return np.asarray(w @ w.T if w.shape[0] < w.shape[1] else w.T @ w)


def svd(matrix: Array) -> tuple[Array, Array, Array]:
    """Decompose a matrix (m, n) by a QR decomposition and PyTorch's LAPACK, which is faster than NumPy's.

    Returns:
        U (m, k), the singular values (k,) in falling order, and V^T (k, n), in float64; k = min(m, n).
    """
    if matrix.shape[0] < matrix.shape[1]:
        u, s, vt = svd(matrix.T)
        return vt.T, s, u.T
    import torch

    q, r = torch.linalg.qr(_float64(matrix))
    u, s, vt = torch.linalg.svd(r, full_matrices=False)
    return (q @ u).numpy(), s.numpy(), vt.numpy()


def singular_values(matrix: Array) -> Array:
    """Singular values (k,) in falling order, in float64; of a large matrix as in `GramSvd`."""
    import torch

    if is_large(matrix):
        squares = torch.linalg.eigvalsh(torch.from_numpy(_gram(matrix))).numpy()
        return np.asarray(np.sqrt(np.maximum(squares[::-1], 0)))
    long = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    values: Array = torch.linalg.svdvals(torch.linalg.qr(_float64(long), mode="r").R).numpy()
    return values


def square_root(covariance: Array, ridge: float) -> Array:
    """Compute L with L L^T = C + ridge mean(diag C) I.

    Args:
        covariance: C, (n, n); the result for zeros is the identity.
        ridge: Addition to the diagonal, as a share of its mean.

    Returns:
        L in float64, (n, n).
    """
    scale = np.trace(covariance, dtype=np.float64) / len(covariance)
    if scale <= 0:
        return np.eye(len(covariance))
    c = covariance.astype(np.float64)
    c /= scale
    diagonal = c.diagonal().copy()
    np.fill_diagonal(c, diagonal + ridge)
    try:
        root = np.linalg.cholesky(c)
    except np.linalg.LinAlgError:  # singular, and the ridge is lost in rounding
        np.fill_diagonal(c, diagonal)
        values, vectors = np.linalg.eigh(c)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0) * scale))
    root *= np.sqrt(scale)
    return np.asarray(root)


def _float64(matrix: Array) -> Tensor:
    import torch

    return torch.tensor(matrix, dtype=torch.float64)
