"""What a run's process needs, imported once for all of them.

No process can use a GPU whose parent has asked CUDA's driver for one. Modules that are imported look for GPUs, and some
ask the driver (spaCy does where CuPy is installed). So where there is a GPU, a process of its own imports them first;
has it asked, each run's process imports for itself.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os

from threadpoolctl import ThreadpoolController

_MODULES = (
    "allennlp.commands.train",
    "elmo_mf.cli.main",  # what a process forked from a sweep imports as its main module
    "elmo_mf.tasks.elmo_run",
    "elmo_mf.experiments.scheduler",
    "elmo_mf.tasks.training",
    "elmo_mf.plugin.tokenizer",
)
_SUCCESS, _NOT_INITIALIZED = 0, 3  # of CUresult


def _import() -> None:
    *_, training, tokenizer = map(importlib.import_module, _MODULES)
    training.plugins()
    tokenizer.english()


def driver_asked() -> bool | None:
    """Whether this process has asked CUDA's driver; None where there is no driver that works."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    status = driver.cuDeviceGetCount(ctypes.byref(ctypes.c_int()))
    return {_SUCCESS: True, _NOT_INITIALIZED: False}.get(status)


def _may_import() -> bool:
    if driver_asked() is not False:
        return True
    trial = os.fork()
    if trial == 0:
        asked = True
        try:
            _import()
            asked = driver_asked() is not False
        finally:
            os._exit(asked)
    return os.waitpid(trial, 0)[1] == 0


os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # then PyTorch does not ask the driver whether there is a GPU
gc.disable()  # it would look through the growing modules again and again, for a seventh of the time that they take
if _may_import():
    _import()
pools = ThreadpoolController()  # to look for them takes longer than to fork
gc.collect()
gc.freeze()  # or each process would write to all of this memory, and so copy it, when it first collects garbage
gc.enable()
