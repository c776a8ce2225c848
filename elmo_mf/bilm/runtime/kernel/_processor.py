"""The features of this processor, by LLVM's names."""

from __future__ import annotations

import ctypes
from functools import cache

import llvmlite.binding as llvm

_AT_HWCAP, _AT_HWCAP2 = 16, 26
# of Linux on ARM, arch/arm64/include/uapi/asm/hwcap.h: LLVM does not ask for these itself
_ARM_BITS = {"dotprod": (_AT_HWCAP, 20), "bf16": (_AT_HWCAP2, 14)}


@cache
def features() -> frozenset[str]:
    """Return the features of this processor."""
    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present) | set(_arm_features())


def feature_string() -> str:
    """Return the features that this processor has and those that it lacks, as a target takes them."""
    return ",".join([llvm.get_host_cpu_features().flatten(), *(f"+{name}" for name in _arm_features())])


@cache
def _arm_features() -> tuple[str, ...]:
    """Return the features that matter and that LLVM may not have seen; none on other processors.

    NEON is part of the architecture, but LLVM looks for it in /proc/cpuinfo, which containers and emulators may lack.
    """
    if llvm.get_process_triple().split("-")[0] not in ("aarch64", "arm64"):
        return ()
    try:
        getauxval = ctypes.CDLL(None).getauxval
    except AttributeError:  # not Linux
        return ("neon",)
    getauxval.argtypes, getauxval.restype = [ctypes.c_ulong], ctypes.c_ulong
    return ("neon", *(name for name, (entry, bit) in _ARM_BITS.items() if getauxval(entry) >> bit & 1))
