from ._choice import Runtimes
from ._packed_linear import (
    PRECISIONS,
    PackedLinear,
    Precision,
    Product,
    QuantizedLinear,
    full_precision,
    packs,
    reject_gradients,
    supports,
    unquantized,
)
from ._protocol import Runtime

__all__ = [
    "PRECISIONS",
    "PackedLinear",
    "Precision",
    "Product",
    "QuantizedLinear",
    "Runtime",
    "Runtimes",
    "full_precision",
    "packs",
    "reject_gradients",
    "supports",
    "unquantized",
]
