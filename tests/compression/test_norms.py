"""Norms against NumPy's, and the inspection of dense and compressed weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from elmo_mf import Compression
from elmo_mf.bilm.weights import BilmWeights
from elmo_mf.compression import compress, inspect
from elmo_mf.compression._inspection import MatrixFacts
from elmo_mf.compression.norms import Norms
from tests.compression.matrices import matrices
from tests.conftest import random_bilm

OPTIONS, WEIGHTS = random_bilm().options, random_bilm().weights()


@settings(max_examples=60, deadline=None)
@given(matrices())
def test_norms(matrix: np.ndarray) -> None:
    norms, w = Norms.of(matrix), matrix.astype(np.float64)
    expected = np.abs(w).sum(), np.linalg.norm(w), np.linalg.norm(w, 2), np.linalg.norm(w, "nuc"), np.std(w)
    actual = norms.l1, norms.frobenius, norms.spectral, norms.nuclear, norms.std
    assert actual == pytest.approx(expected, rel=1e-9)
    if w.any():
        assert 1 - 1e-9 <= norms.effective_rank <= min(w.shape) * (1 + 1e-9)


def test_effective_rank() -> None:
    assert Norms.of(np.eye(5)).effective_rank == pytest.approx(5)
    assert Norms.of(np.outer([1, 2], [3, 4, 5])).effective_rank == pytest.approx(1)
    assert Norms.of(np.zeros((3, 2))).effective_rank == 0


def _whole(weights: BilmWeights) -> list[MatrixFacts]:
    return inspect(weights, gates=False)


def test_every_matrix_and_gate() -> None:
    facts = inspect(WEIGHTS)
    assert len(facts) == 4 * (5 + 5 + 1) and len(_whole(WEIGHTS)) == 12
    assert [one.name for one in facts[:2]] == ["forward 0 input", "forward 0 input i"]
    dense = np.asarray(WEIGHTS.lstms[1, 1].matrices["recurrent"])
    output = next(one for one in facts if one.name == "backward 1 recurrent o")
    assert output.norms == Norms.of(dense[36:])


def test_ranks_for_an_energy() -> None:
    facts = MatrixFacts("forward", 0, "input", None, (3, 3), "dense", np.array([3.0, 2.0, 1.0]), Norms.of(np.eye(3)))
    assert [facts.rank_for(energy) for energy in (0.5, 9 / 14, 0.9, 0.99, 1.0)] == [1, 1, 2, 3, 3]


def test_compressed_weights() -> None:
    for compression, form, rank in (
        (Compression(method="svd", rank=2, targets="input"), "rank 2", 2),
        (Compression(method="svd", rank=2, targets="joint"), "rank 2", 2),
        (Compression(method="svd", rank=1, targets="input", granularity="gate"), "rank 1 a gate", 4),
        (Compression(method="prune", rank=2, targets="input"), "pruned to 38%", 6),
    ):
        first = _whole(compress(WEIGHTS, OPTIONS, compression))[0]
        assert first.form == form and first.rank_for(1 - 1e-9) <= rank
