"""Factorization of a biLM's matrices: methods, one a file, and what to apply them to."""

from elmo_mf.compression.config import Compression
from elmo_mf.compression.matrix_reference import break_even_rank
from elmo_mf.compression.methods.base import Evidence, Method, method_named, method_names, register
from elmo_mf.compression.recovery.config import Distillation, FineTuning
from elmo_mf.compression.size import MatrixSize, SizeReport, size_report

__all__ = [
    "Compression",
    "Distillation",
    "Evidence",
    "FineTuning",
    "MatrixSize",
    "Method",
    "SizeReport",
    "break_even_rank",
    "method_named",
    "method_names",
    "register",
    "size_report",
]
