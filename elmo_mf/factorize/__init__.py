"""Factorization of a biLM's matrices: methods, one a file, and what to apply them to."""

from importlib import import_module
from pkgutil import iter_modules

from elmo_mf.factorize.base import Evidence, Method, method_named, method_names, register
from elmo_mf.factorize.compression import Compression
from elmo_mf.factorize.size import MatrixSize, SizeReport, size_report
from elmo_mf.factorize.slot import break_even_rank
from elmo_mf.factorize.tuning import Distillation, FineTuning

for _module in iter_modules(__path__):  # a method is registered when its file is imported
    import_module(f"{__name__}.{_module.name}")

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
