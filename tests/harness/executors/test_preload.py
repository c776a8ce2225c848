"""What is imported once for all cells leaves GPUs to them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SPY = """
import torch

def asked():
    print("by NVML" if torch.cuda._nvml_based_avail() else "by CUDA")
    return False

torch.cuda.is_available = asked
import elmo_mf.harness.executors.preload as preload
assert not torch.cuda.is_initialized()
assert not preload.driver_asked()
"""

_DRIVER = """
import ctypes, sys

class Driver:
    def cuDeviceGetCount(self, _):
        return 0 if "cupy" in sys.modules else 3

ctypes.CDLL = lambda name, *_, load=ctypes.CDLL, **__: Driver() if name == "libcuda.so.1" else load(name)
import elmo_mf.harness.executors.preload
print("allennlp.commands.train" in sys.modules, "cupy" in sys.modules)
"""


def test_imports_do_not_ask_cuda() -> None:
    """`cudaGetDeviceCount` in a process keeps CUDA from those that are forked from it; NVML does not."""
    run = subprocess.run([sys.executable, "-c", _SPY], capture_output=True, text=True, check=True)
    assert set(run.stdout.split("\n")) == {"by NVML", ""}


@pytest.mark.parametrize(("installed", "found"), [(False, "True False"), (True, "False False")])
def test_where_imports_ask_the_driver_each_process_imports(installed: bool, found: str, tmp_path: Path) -> None:
    """CuPy asks it when spaCy imports it; there is a driver, both made up."""
    if installed:
        (tmp_path / "cupy.py").write_text("")
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{_DRIVER}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines()[-1] == found
