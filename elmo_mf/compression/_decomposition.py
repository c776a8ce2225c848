"""Singular value decompositions, and square roots of covariances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elmo_mf.bilm.weights import Array

if TYPE_CHECKING:
    from torch import Tensor


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
    """Singular values (k,) in falling order, in float64."""
    import torch

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
    c = covariance.astype(np.float64)
    scale = np.trace(c) / len(c)
    if scale <= 0:
        return np.eye(len(c))
    c = c / scale
    try:
        return np.asarray(np.linalg.cholesky(c + ridge * np.eye(len(c))) * np.sqrt(scale))
    except np.linalg.LinAlgError:  # singular, and the ridge is lost in rounding
        values, vectors = np.linalg.eigh(c)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0) * scale))


def _float64(matrix: Array) -> Tensor:
    import torch

    return torch.tensor(matrix, dtype=torch.float64)
