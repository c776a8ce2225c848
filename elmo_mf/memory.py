"""Memory that was freed."""

from __future__ import annotations

import ctypes
import sys


def return_freed_memory() -> None:
    """Return memory to the system that glibc keeps after blocks of up to 32 MB were freed; elsewhere, do nothing."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
