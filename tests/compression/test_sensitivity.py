"""Budgets that are allocated by the error of the layers' outputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from elmo_mf import Bilm, Compression
from elmo_mf.bilm import BilmOptions, read_weights
from elmo_mf.bilm.weights import BilmWeights, Factors
from elmo_mf.compression import activation_error, compress
from elmo_mf.compression.allocation import Candidate, candidates_by_outputs
from elmo_mf.compression.calibration import CALIBRATION_TEXT, ElmoProbe, calibration_sentences
from elmo_mf.compression.matrix_reference import HighwayReference
from elmo_mf.resources import demo_options, demo_weights
from tests.conftest import random_bilm

DENSE = random_bilm()
WEIGHTS, OPTIONS = DENSE.weights(), DENSE.options


@dataclass
class _KnownLosses:
    """A factorization whose loss is known at every rank."""

    candidate: Candidate
    losses: list[float]
    rank: int = 0
    reference = HighwayReference(0, (34, 17))

    def factored(self, weights: BilmWeights, rank: int) -> BilmWeights:
        self.rank = rank
        return weights


class _Probe(ElmoProbe):
    def __init__(self, factorization: _KnownLosses) -> None:
        self.factorization = factorization

    def loss(self, weights: BilmWeights) -> float:
        return self.factorization.losses[self.factorization.rank]


shares = st.lists(st.floats(0.001, 1), min_size=2, max_size=20)


@given(shares, st.floats(0, 1), st.floats(1, 3), st.floats(0.001, 100), st.integers(1, 20))
def test_a_loss_that_is_a_power_of_the_error_is_found(
    values: list[float], left: float, power: float, scale: float, rank: int
) -> None:
    error_reductions = np.sort(values)[::-1] / (sum(values) + left)
    errors = np.concatenate([[1], 1 - np.cumsum(error_reductions)]).clip(0)
    losses = scale * errors**power
    factorization = _KnownLosses(Candidate(error_reductions, 51), losses.tolist())
    candidate = candidates_by_outputs(
        [(factorization, min(rank, len(error_reductions)))], WEIGHTS, _Probe(factorization)
    )[factorization.reference]
    assert candidate.cost == 51 and (np.diff(candidate.error_reductions) <= 1e-9 * scale).all()
    if min(rank, len(error_reductions), (errors[1:] > 0.01).sum()) > 1:  # two ranks to look at
        np.testing.assert_allclose(candidate.error_reductions, -np.diff(losses), rtol=1e-4, atol=1e-6 * scale)


@example([1.0] * 4, [0.0, 1.0, 0.0, 1e-300] + [0.0] * 17, 3)
@given(shares, st.lists(st.floats(0, 10), min_size=21, max_size=21), st.integers(1, 20))
def test_error_reductions_never_rise(values: list[float], losses: list[float], rank: int) -> None:
    """For any losses, since the allocation needs it."""
    error_reductions = np.sort(values)[::-1] / sum(values)
    factorization = _KnownLosses(Candidate(error_reductions, 51), losses)
    candidate = candidates_by_outputs(
        [(factorization, min(rank, len(error_reductions)))], WEIGHTS, _Probe(factorization)
    )[factorization.reference].error_reductions
    assert np.isfinite(candidate).all() and (candidate >= -1e-9).all()
    assert (np.diff(candidate) <= 1e-9 * max(1, candidate.max())).all()


def test_the_loss_is_the_activation_error() -> None:
    compressed = compress(WEIGHTS, OPTIONS, Compression(method="svd", rank=2, targets="all"))
    error = activation_error(DENSE, Bilm(OPTIONS, compressed).eval(), calibration_sentences(CALIBRATION_TEXT))
    expected = sum(layer**2 for layer in error.layers)
    assert ElmoProbe(WEIGHTS, OPTIONS, CALIBRATION_TEXT).loss(compressed) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("cells", "tokens"), [(12, 5000), pytest.param(2048, 2500, marks=pytest.mark.slow)])
def test_of_a_long_text_the_beginning_is_looked_at(cells: int, tokens: int, tmp_path: Path) -> None:
    """It is read once for each matrix; with many memory cells, less of it."""
    lines = ["a few words .\n"] * (tokens // 4)
    (tmp_path / "long.txt").write_text("".join([*lines, *["and others\n"] * 500]))
    (tmp_path / "beginning.txt").write_text("".join(lines))
    (tmp_path / "shorter.txt").write_text("".join([*lines[: len(lines) // 2], *["and others\n"] * 500]))
    dense = random_bilm(dim=cells)
    weights, options = dense.weights(), dense.options
    compressed = compress(weights, options, Compression(method="svd", rank=2, targets="all"))
    beginning, long, shorter = (
        ElmoProbe(weights, options, tmp_path / f"{name}.txt").loss(compressed)
        for name in ("beginning", "long", "shorter")
    )
    assert long == pytest.approx(beginning, rel=1e-4) and shorter != pytest.approx(beginning, rel=1e-3)


def test_what_nobody_hears_gets_nothing() -> None:
    """If a projection is zero, the layer's outputs are zero, whatever its gates are."""
    silent = WEIGHTS.lstms[0, 0].with_matrix("projection", np.zeros_like(WEIGHTS.lstms[0, 0].matrices["projection"]))
    weights = BilmWeights(WEIGHTS.token_layer, {**WEIGHTS.lstms, (0, 0): silent})
    ranks = {}
    for allocation in ("outputs", "matrices"):
        compression = Compression(method="svd", targets="input+recurrent", budget={"share": 0.7}, allocation=allocation)
        matrices = compress(weights, OPTIONS, compression).lstms[0, 0].matrices
        ranks[allocation] = [m.rank for m in (matrices["input"], matrices["recurrent"]) if isinstance(m, Factors)]
    assert ranks["outputs"] == [1, 1] and min(ranks["matrices"]) > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "targets", "highways", "most"),
    [("svd", "all", None, 0.9), ("whitened_svd", "joint+projection", None, 0.93), ("svd", "all", "budget", 0.9)],
)
def test_a_real_elmo_is_nearer(method: str, targets: str, highways: str | None, most: float) -> None:
    """Compared on sentences that the allocation does not read."""
    options = BilmOptions.from_file(demo_options())
    weights = read_weights(demo_weights(), options)
    dense = Bilm(options, weights).eval()
    sentences = [list(sentence) for sentence in _SENTENCES]
    errors = {}
    for allocation in ("outputs", "matrices"):
        compression = Compression(
            method=method, targets=targets, budget={"share": 0.2}, allocation=allocation, highway_rank=highways
        )
        compressed = Bilm(options, compress(weights, options, compression)).eval()
        errors[allocation] = activation_error(dense, compressed, sentences).overall
    assert errors["outputs"] < most * errors["matrices"]


_SENTENCES = [
    "The river had risen in the night , and the lower meadow lay under water .".split(),
    "She did not answer him at once ; she was looking at the letter in her hand .".split(),
    '" You will find , " said the old man , " that the road is longer than it looks . "'.split(),
    "Nothing was heard of the ship for eleven weeks .".split(),
    "The second edition was printed in 1894 and sold out within a month .".split(),
    "They walked on in silence until they came to the gate .".split(),
]
