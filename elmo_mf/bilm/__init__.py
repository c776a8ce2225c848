"""The encoder: options, HDF5 checkpoint, token layer, projected LSTM, and the biLM that consists of them.

Nothing here imports AllenNLP, and PyTorch is imported only with names that need it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elmo_mf.bilm.checkpoint import read_weights, write_weights
    from elmo_mf.bilm.derived_cache import clear_derived_caches
    from elmo_mf.bilm.encoder import Activations, Bilm, StatePolicy
    from elmo_mf.bilm.options import (
        BilmOptions,
        CharCnnOptions,
        LstmOptions,
        UnicodeCnnOptions,
        WordTableOptions,
    )
    from elmo_mf.bilm.vocabulary import Vocabulary
    from elmo_mf.bilm.weights import DIRECTIONS, TARGETS, BilmWeights, Factors, LstmWeights, Matrix, Pruned, Target

__all__ = [
    "DIRECTIONS",
    "TARGETS",
    "Activations",
    "Bilm",
    "BilmOptions",
    "BilmWeights",
    "CharCnnOptions",
    "Factors",
    "LstmOptions",
    "LstmWeights",
    "Matrix",
    "Pruned",
    "StatePolicy",
    "Target",
    "UnicodeCnnOptions",
    "Vocabulary",
    "WordTableOptions",
    "clear_derived_caches",
    "read_weights",
    "write_weights",
]

_MODULES = {
    "derived_cache": ("clear_derived_caches",),
    "encoder": ("Activations", "Bilm", "StatePolicy"),
    "checkpoint": ("read_weights", "write_weights"),
    "options": ("BilmOptions", "CharCnnOptions", "LstmOptions", "UnicodeCnnOptions", "WordTableOptions"),
    "vocabulary": ("Vocabulary",),
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "weights")
    return getattr(import_module(f"{__name__}.{module}"), name)
