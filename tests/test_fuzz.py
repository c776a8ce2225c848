"""Mutated inputs of every reader, in a process with little memory; more of them with `python -m tests.fuzz`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

READERS = ["weights", "factored", "gradients", "options", "records", "cards", "sweeps", "sst", "snli", "squad"]


@pytest.mark.parametrize(
    ("readers", "examples"),
    [(READERS, 500), (["jsonnet"], 100), (["reports"], 200)],
    ids=["files", "jsonnet", "reports"],
)
def test_mutated_inputs(readers: list[str], examples: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--examples", str(examples), "--folder", str(tmp_path)]
    command += [part for reader in readers for part in ("--target", reader)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = done.stdout.splitlines()
    assert len(counts) == len(readers)
    assert not [line for line in counts if "'read': 0," in line or "'refused': 0}" in line]
