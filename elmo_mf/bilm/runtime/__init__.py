"""The ways in which the encoder's recurrence runs, and the products that they share.

`choice.Runtimes` chooses one for each call; `RuntimeSettings` has all thresholds.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elmo_mf.bilm.runtime.packed_linear import PRECISIONS, PackedLinear, Precision, packs, supports
    from elmo_mf.bilm.runtime.protocol import Runtime
    from elmo_mf.bilm.runtime_settings import RuntimeSettings, default_settings, use_settings

__all__ = [
    "PRECISIONS",
    "PackedLinear",
    "Precision",
    "Runtime",
    "RuntimeSettings",
    "default_settings",
    "packs",
    "supports",
    "use_settings",
]

_MODULES = {
    "Runtime": "elmo_mf.bilm.runtime.protocol",
    "RuntimeSettings": "elmo_mf.bilm.runtime_settings",
    "default_settings": "elmo_mf.bilm.runtime_settings",
    "use_settings": "elmo_mf.bilm.runtime_settings",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES.get(name, "elmo_mf.bilm.runtime.packed_linear")), name)
