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

SLOW = {"jsonnet": 24, "training-state": 16, "reports": 30}
"""Examples of readers that take long; others get 60."""

ONE_SIDED = {"records", "cache-list", "model-card"}
"""Of which hardly any mutant is read (its hash is another) or refused (any text may be a card)."""


def test_mutated_inputs(tmp_path: Path) -> None:
    """All readers share a process, which takes seconds to start."""
    readers = {name: SLOW.get(name, 60) for name in targets(tmp_path)}
    command = [sys.executable, "-m", "tests.fuzz", "--folder", str(tmp_path)]
    command += [part for name, examples in readers.items() for part in ("--target", f"{name}={examples}")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert list(counts) == list(readers)
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
