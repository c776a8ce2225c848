"""Preloaded imports do not keep runs from using GPUs."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

_SPY = """
import sys
import torch

def asked():
    print("by NVML" if torch.cuda._nvml_based_avail() else "by CUDA")
    return False

torch.cuda.is_available = asked
import elmo_mf.tasks._run_imports
from elmo_mf.experiments.executors import _preload
assert not torch.cuda.is_initialized()
assert not _preload.driver_asked() or "allennlp.commands.train" not in sys.modules
"""

_DRIVER = """
import ctypes, sys

class Driver:
    def cuDeviceGetCount(self, _):
        return {after} if "colorsys" in sys.modules else {before}

ctypes.CDLL = lambda name, *_, load=ctypes.CDLL, **__: Driver() if name == "libcuda.so.1" else load(name)
from elmo_mf.experiments.executors._preload import preload
assert "colorsys" not in sys.modules
preload(lambda: __import__("colorsys"))
print("colorsys" in sys.modules)
"""


def test_imports_do_not_ask_cuda() -> None:
    """`cudaGetDeviceCount` in a process prevents CUDA in its forked children; NVML does not."""
    run = subprocess.run([sys.executable, "-c", _SPY], capture_output=True, text=True, check=True)
    assert set(run.stdout.split("\n")) == {"by NVML", ""}


@pytest.mark.parametrize(("before", "after", "imported"), [(3, 3, True), (3, 0, False), (34, 34, True)])
def test_where_imports_ask_the_driver_each_process_imports(before: int, after: int, imported: bool) -> None:
    """The fake driver returns 3 until it is initialized; a driver that does not work returns 34.

    The import, which initializes it in one case, is that of a small module in place of AllenNLP.
    """
    script = _DRIVER.format(before=before, after=after)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == str(imported)
