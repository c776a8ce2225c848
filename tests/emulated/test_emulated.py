"""The code that runs on a GPU gives on an emulated one what it gives on a CPU."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.processes import in_another_process

pytestmark = pytest.mark.emulated


def test_on_the_emulated_device(tmp_path: Path) -> None:
    printed = tmp_path / "printed.txt"
    status = in_another_process(_run, Path(__file__).with_name("on_device.py"), printed)
    assert status == pytest.ExitCode.OK, printed.read_text()[-8000:]


def _run(tests: Path, printed: Path) -> int:
    """Run tests in this process, which has imported AllenNLP but not yet registered the device."""
    os.chdir(ROOT)
    for name in [name for name in os.environ if name.startswith("PYTEST")]:
        del os.environ[name]
    with printed.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    return int(pytest.main(["-p", "no:cacheprovider", str(tests)]))
