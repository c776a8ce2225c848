"""Compression of an encoder's matrices: factorization methods, calibration, allocation of ranks, recovery."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from elmo_mf.records.compression import Budget, Compression, Distillation, FineTuning

if TYPE_CHECKING:
    from elmo_mf.compression.apply import compress
    from elmo_mf.compression.check import check_compression
    from elmo_mf.compression.file_hashes import with_file_hashes, with_history
    from elmo_mf.compression.matrix_reference import break_even_rank, matrix_references
    from elmo_mf.compression.methods.base import (
        CalibrationStatistics,
        Method,
        method_named,
        method_names,
        method_of,
        read_compression,
        register,
    )
    from elmo_mf.compression.size import MatrixSize, SizeReport, size_report

_MODULES = {
    "apply": ("compress",),
    "check": ("check_compression",),
    "file_hashes": ("with_file_hashes", "with_history"),
    "matrix_reference": ("break_even_rank", "matrix_references"),
    "methods.base": (
        "CalibrationStatistics", "Method", "method_named", "method_names", "method_of", "read_compression", "register",
    ),
    "size": ("MatrixSize", "SizeReport", "size_report"),
}  # fmt: skip

__all__ = [
    "Budget",
    "CalibrationStatistics",
    "Compression",
    "Distillation",
    "FineTuning",
    "MatrixSize",
    "Method",
    "SizeReport",
    "break_even_rank",
    "check_compression",
    "compress",
    "matrix_references",
    "method_named",
    "method_names",
    "method_of",
    "read_compression",
    "register",
    "size_report",
    "with_file_hashes",
    "with_history",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: some of the modules import PyTorch."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
