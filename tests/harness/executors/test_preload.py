"""What is imported once for all cells leaves GPUs to them."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SPY = """
import torch

def asked():
    print("by NVML" if torch.cuda._nvml_based_avail() else "by CUDA")
    return False

torch.cuda.is_available = asked
import elmo_mf.harness.executors.preload as preload
assert not torch.cuda.is_initialized()
assert not preload.driver_asked() or not preload.imported
"""

_DRIVER = """
import ctypes, sys

class Driver:
    def cuDeviceGetCount(self, _):
        asked = {asks} and "allennlp.commands.train" in sys.modules
        return 0 if asked else 3

ctypes.CDLL = lambda name, *_, load=ctypes.CDLL, **__: Driver() if name == "libcuda.so.1" else load(name)
import elmo_mf.harness.executors.preload
print("allennlp.commands.train" in sys.modules)
"""


def test_imports_do_not_ask_cuda() -> None:
    """`cudaGetDeviceCount` in a process keeps CUDA from those that are forked from it; NVML does not."""
    run = subprocess.run([sys.executable, "-c", _SPY], capture_output=True, text=True, check=True)
    assert set(run.stdout.split("\n")) == {"by NVML", ""}


@pytest.mark.parametrize("asks", [False, True])
def test_where_imports_ask_the_driver_each_process_imports(asks: bool) -> None:
    """With a driver that is made up, and that something imported asks or does not."""
    script = _DRIVER.format(asks=asks)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == str(not asks)
