"""The code that runs on a GPU gives on an emulated one what it gives on a CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.emulated


def test_on_the_emulated_device() -> None:
    tests = Path(__file__).with_name("on_device.py")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tests)]
    run = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, timeout=540)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
