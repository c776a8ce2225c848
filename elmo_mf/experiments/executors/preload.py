"""Imports that the processes of runs inherit from the server that they are forked from.

A process cannot use a GPU if its parent has asked CUDA's driver for one. Modules look for GPUs when they are imported,
and some ask the driver (spaCy does if CuPy is installed). So if there is a GPU, a child process tries the imports
first; if they ask the driver, each run's process imports for itself.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable
from functools import cache

from threadpoolctl import ThreadpoolController

_SUCCESS, _NOT_INITIALIZED = 0, 3  # of CUresult


def preload(load: Callable[[], None]) -> None:
    """Call `load`, which imports modules, if the processes forked from this one can use a GPU afterwards.

    A module that the server imports calls this at its top level, see `LocalExecutor`.
    """
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # then PyTorch finds GPUs without asking the driver
    gc.disable()  # it would traverse the growing modules repeatedly, for a seventh of their import time
    if _can_load(load):
        load()
    thread_pools()
    gc.collect()
    gc.freeze()  # otherwise the first collection in each process would write to, and so copy, all of this memory
    gc.enable()


@cache
def thread_pools() -> ThreadpoolController:
    """Return the thread pools of the loaded libraries; finding them takes longer than a fork."""
    return ThreadpoolController()


def driver_asked() -> bool | None:
    """Return whether this process has asked CUDA's driver; None if there is no working driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    status = driver.cuDeviceGetCount(ctypes.byref(ctypes.c_int()))
    return {_SUCCESS: True, _NOT_INITIALIZED: False}.get(status)


def _can_load(load: Callable[[], None]) -> bool:
    if driver_asked() is not False:
        return True
    trial = os.fork()
    if trial == 0:
        asked = True
        try:
            load()
            asked = driver_asked() is not False
        finally:
            os._exit(asked)
    return os.waitpid(trial, 0)[1] == 0
