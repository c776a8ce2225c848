"""Factorization of a biLM's matrices: methods, one a file, and what to apply them to."""

from elmo_mf.factorize.base import Evidence, Method, method_named, method_names, register
from elmo_mf.factorize.compression import Compression
from elmo_mf.factorize.size import MatrixSize, SizeReport, size_report
from elmo_mf.factorize.slot import break_even_rank
from elmo_mf.factorize.tuning import Distillation, FineTuning

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
