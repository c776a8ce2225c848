"""Mutated inputs of every reader, in a process with little memory; more of them with `python -m tests.fuzz`."""

from __future__ import annotations

import random
from pathlib import Path

import h5py
import pytest

from tests.fuzz import fuzz_all, sign, targets
from tests.processes import in_another_process

pytestmark = pytest.mark.slow

SLOW = {"jsonnet": 24, "training-state": 16, "reports": 30}
"""Examples of readers that take long; others get 60."""

ONE_SIDED = {"records", "cache-list", "model-card"}
"""Of which hardly any mutant is read (its hash is another) or refused (any text may be a card)."""


def test_mutated_inputs(tmp_path: Path) -> None:
    counts = in_another_process(_fuzzed, tmp_path)
    assert not [name for name, found in counts.items() if name not in ONE_SIDED and 0 in found.values()]


def _fuzzed(folder: Path) -> dict[str, dict[str, int]]:
    known = targets(folder)
    return dict(fuzz_all(known, {name: SLOW.get(name, 60) for name in known}, 0, folder))


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
