"""Singular value decompositions."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def _float64(matrix: Array) -> Tensor:
    import torch

    return torch.tensor(matrix, dtype=torch.float64)
