"""Compression of a language model's core."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from elmo_mf.compression import check_compression, factorize, method_of, reads_text
from elmo_mf.errors import InputError
from elmo_mf.lm._core_calibration import CoreProbe
from elmo_mf.lm.core import CoreLstm
from elmo_mf.records.compression import Compression


def compress_core(core: CoreLstm, compression: Compression, inputs: Sequence[Tensor] = ()) -> CoreLstm:
    """Factorize the chosen matrices of a core.

    Args:
        core: The dense core, which stays unchanged.
        compression: What to factorize. Its `finetune` is left to the caller, who has the text.
        inputs: Tensors (steps, sequences, d), each the continuation of the one before; for methods that use input
            covariances, and for budgets that are allocated by outputs.

    Returns:
        The compressed core, in the mode of the dense one.

    Raises:
        InputError: See `check_compression`; or inputs are required but missing.

    Examples:
        >>> import torch
        >>> from elmo_mf import Compression
        >>> core = CoreLstm.from_torch([torch.nn.LSTM(20, 40)])
        >>> small = compress_core(core, Compression(method="svd", rank=4, targets="all"))
        >>> small.weights().lstms[0, 0].matrices["input"].rank
        4
    """
    dense = core.weights()
    check_compression(dense, compression, language_model=True)
    if method_of(compression).needs_inputs and not inputs:
        raise InputError("compression.method", f"{compression.method} requires inputs")
    if reads_text(compression) and not inputs:
        raise InputError("compression.allocation", "outputs requires inputs; without any, use matrices")
    weights = factorize(dense, compression, CoreProbe(core, dense, inputs))
    return CoreLstm(list(weights.lstms.values()), core.weight_drop).train(core.training)
