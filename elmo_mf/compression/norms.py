"""Norms of a matrix and of its spectrum, which may predict how well it compresses."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from elmo_mf.bilm.weights import Array
from elmo_mf.compression._decomposition import singular_values


@dataclass(frozen=True)
class Norms:
    """Norms of a matrix W with singular values s.

    Attributes:
        l1: Sum of |w| over the entries.
        frobenius: Root of the sum of w^2.
        spectral: Largest singular value.
        nuclear: Sum of the singular values.
        std: Standard deviation of the entries.
        effective_rank: exp of the entropy of s / sum(s) (Roy and Vetterli 2007), from 1 to min(m, n); 0 for a zero
            matrix.
    """

    l1: float
    frobenius: float
    spectral: float
    nuclear: float
    std: float
    effective_rank: float

    @classmethod
    def of(cls, matrix: Array, spectrum: Array | None = None) -> Norms:
        """Compute the norms of a matrix.

        Args:
            matrix: (m, n).
            spectrum: Its singular values in falling order, where they are known already.

        Returns:
            The norms, computed in float64.
        """
        w = matrix.astype(np.float64)
        s = singular_values(w) if spectrum is None else spectrum
        return cls(
            l1=float(np.abs(w).sum()),
            frobenius=float(np.linalg.norm(w)),
            spectral=float(s[0]),
            nuclear=float(s.sum()),
            std=float(w.std()),
            effective_rank=_effective_rank(s),
        )

    def to_dict(self) -> dict[str, float]:
        """Return the norms by name."""
        return asdict(self)


def _effective_rank(s: Array) -> float:
    total = s.sum()
    if total <= 0:
        return 0.0
    shares = s[s > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))
