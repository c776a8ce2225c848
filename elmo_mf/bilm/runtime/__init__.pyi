from ._choice import Runtimes
from ._packed_linear import (
    PRECISIONS,
    PackedLinear,
    Precision,
    QuantizedLinear,
    full_precision,
    packs,
    supports,
    unquantized,
)
from ._protocol import Runtime

__all__ = [
    "PRECISIONS",
    "PackedLinear",
    "Precision",
    "QuantizedLinear",
    "Runtime",
    "Runtimes",
    "full_precision",
    "packs",
    "supports",
    "unquantized",
]
