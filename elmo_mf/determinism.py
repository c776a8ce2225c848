"""The same bits from the same command, on a GPU too."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def deterministic() -> Iterator[None]:
    """While it lasts, GPUs add in a fixed order, as CPUs do anyway; PyTorch warns where it has no way to."""
    if not torch.cuda.is_available():
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which PyTorch asks for
    about: Any = torch.utils.deterministic
    before = torch.get_deterministic_debug_mode(), about.fill_uninitialized_memory
    torch.set_deterministic_debug_mode("warn")
    about.fill_uninitialized_memory = False  # everything is written before it is read
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("once", ".* does not have a deterministic implementation")
            yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        about.fill_uninitialized_memory = before[1]
