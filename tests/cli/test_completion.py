"""Tests of the values that a shell is offered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

_CODE = "import atexit, sys; from elmo_mf.cli.main import main; atexit.register(lambda: print('torch' in sys.modules))"


def _offered(line: str, folder: Path) -> list[str]:
    """Return what bash is offered for the last word of a line."""
    words = line.split(" ")
    asked = {"_ELMO_MF_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", f"{_CODE}; main()"],
        cwd=folder, env=os.environ | asked | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    *offered, torch = done.stdout.splitlines()
    assert torch == "False" and done.stderr == ""
    return offered


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("elmo-mf compress o w --method w", ["whitened_svd"]),
        ("elmo-mf compress o w --targets input+r", ["input+recurrent"]),
        ("elmo-mf sweep --targets input,joint+p", ["input,joint+projection"]),
        ("elmo-mf sweep --tasks snli,sq", ["snli,squad"]),
        ("elmo-mf sweep --methods svd,n", ["svd,nmf"]),
        ("elmo-mf sweep published/n", ["published/norms", "published/norms_quarter"]),
        ("elmo-mf gradients ss", ["sst", "sst-probe"]),
        ("elmo-mf fetch w", ["weights", "words"]),
        ("elmo-mf fetch weights o", ["original", "original-5.5b"]),
        ("elmo-mf fetch data s", ["sst", "snli", "squad"]),
        ("elmo-mf bench --size m", ["medium"]),
        ("elmo-mf pretrain t --schedule co", ["constant", "cosine"]),
        ("elmo-mf sweep --tracker t", ["tensorboard"]),
    ],
)
def test_values_are_offered(line: str, offered: list[str], tmp_path: Path) -> None:
    assert _offered(line, tmp_path) == offered
