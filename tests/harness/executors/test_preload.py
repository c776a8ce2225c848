"""What is imported once for all cells leaves GPUs to them."""

from __future__ import annotations

import subprocess
import sys

_SPY = """
import torch

def asked():
    print("by NVML" if torch.cuda._nvml_based_avail() else "by CUDA")
    return False

torch.cuda.is_available = asked
import elmo_mf.harness.executors.preload
assert not torch.cuda.is_initialized()
"""


def test_imports_do_not_ask_cuda() -> None:
    """`cudaGetDeviceCount` in a process keeps CUDA from those that are forked from it; NVML does not."""
    run = subprocess.run([sys.executable, "-c", _SPY], capture_output=True, text=True, check=True)
    assert set(run.stdout.split("\n")) == {"by NVML", ""}
