"""Mutated inputs of every reader, in a process with little memory; more of them with `python -m tests.fuzz`."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from tests.conftest import ROOT
from tests.fuzz import sign, targets

pytestmark = pytest.mark.slow

SLOW = {"jsonnet": 100, "reports": 200, "softmax": 250, "training-state": 60}
"""Examples of readers that run in a process of their own; others get 250."""

ONE_SIDED = {"records", "cache-list", "model-card"}
"""Of which hardly any mutant is read (its hash is another) or refused (any text may be a card)."""


@pytest.mark.parametrize("half", [0, 1])
def test_mutated_inputs(half: int, tmp_path: Path) -> None:
    names = [name for name in targets(tmp_path) if name not in SLOW]
    _fuzz(names[half::2], 250, tmp_path)


@pytest.mark.parametrize("name", SLOW)
def test_mutated_inputs_of_slow_readers(name: str, tmp_path: Path) -> None:
    _fuzz([name], SLOW[name], tmp_path)


def _fuzz(readers: list[str], examples: int, folder: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--examples", str(examples), "--folder", str(folder)]
    command += [part for reader in readers for part in ("--target", reader)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert list(counts) == readers
    assert not [
        name for name, found in counts.items() if name not in ONE_SIDED and ("'read': 0," in found or ": 0}" in found)
    ]


def test_mutants_behind_their_checksums(tmp_path: Path) -> None:
    """Some checkpoints whose numbers were changed are read, or refused for something else."""
    from elmo_mf.bilm import read_weights
    from elmo_mf.errors import InputError
    from tests.fuzz import Weights

    weights, kinds = Weights(tmp_path / "elmo", False), set[str]()
    path = tmp_path / "w.hdf5"
    with h5py.File(tmp_path / "elmo" / "weights.hdf5") as file:
        place = file["char_embed"].id.get_offset()
    content = bytearray(weights.content)
    content[place] ^= 1
    for seed in range(8):
        path.write_bytes(content)
        sign(path, random.Random(seed))
        try:
            read_weights(path, weights.options)
            kinds.add("read")
        except InputError as error:
            assert "match their checksum" in str(error)
            kinds.add("refused")
    assert kinds == {"read", "refused"}
