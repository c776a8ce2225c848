from ._core_calibration import core_activation_error, core_input_covariances
from ._softmax import PackedSoftmax
from ._unigram import unigram_perplexity
from .core import CoreLstm, core_sizes, zero_weights
from .core_compression import compress_core

__all__ = [
    "CoreLstm",
    "PackedSoftmax",
    "compress_core",
    "core_activation_error",
    "core_input_covariances",
    "core_sizes",
    "unigram_perplexity",
    "zero_weights",
]
