"""Truncated singular value decomposition."""

from __future__ import annotations

from elmo_mf.bilm.weights import Array, Factors
from elmo_mf.compression.methods.base import Evidence, balanced, register
from elmo_mf.compression.methods.truncation import SvdMethod


@register("svd")
class Svd(SvdMethod):
    """The closest matrix of rank r in Frobenius and spectral norm (Eckart and Young 1936)."""

    def truncated(self, u: Array, s: Array, vt: Array, matrix: Array, evidence: Evidence) -> Factors:
        return balanced(u * s, vt)
