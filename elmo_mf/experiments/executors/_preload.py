"""Imports that the processes of runs inherit from the server that they are forked from.

A process cannot use a GPU if its parent has initialized CUDA's driver. Modules look for GPUs when they are imported,
and some initialize the driver (spaCy does if CuPy is installed). Therefore, if there is a GPU, a child process tries
the imports first; if they initialize the driver, each run's process imports the modules itself.
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
    """Call `load`, which imports modules, if processes forked from this one can still use a GPU afterwards.

    Modules that the server imports call this at their top level; see `LocalExecutor`.
    """
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # PyTorch then finds GPUs without initializing the driver
    gc.disable()  # repeated collections would take a seventh of the import time
    if _can_load(load):
        load()
    thread_pools()
    gc.collect()
    gc.freeze()  # otherwise the first collection in each process would write to all of this memory and so copy it
    gc.enable()


@cache
def thread_pools() -> ThreadpoolController:
    """Return the thread pools of the loaded libraries; finding them takes longer than a fork."""
    return ThreadpoolController()


def driver_asked() -> bool | None:
    """Return whether this process has initialized CUDA's driver; None if there is no working driver."""
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
