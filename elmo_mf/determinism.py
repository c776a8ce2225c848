"""Bit-for-bit reproducible results on a GPU."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def deterministic() -> Iterator[None]:
    """Make GPUs use deterministic algorithms inside the context; PyTorch warns where none exists.

    CPUs are deterministic without it.
    """
    if not torch.cuda.is_available():
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by PyTorch
    flags: Any = torch.utils.deterministic
    before = torch.get_deterministic_debug_mode(), flags.fill_uninitialized_memory
    torch.set_deterministic_debug_mode("warn")
    flags.fill_uninitialized_memory = False  # everything is written before it is read
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("once", ".* does not have a deterministic implementation")
            yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        flags.fill_uninitialized_memory = before[1]
