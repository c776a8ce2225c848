"""Tests of comparisons example by example, against SciPy's bootstrap and simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from elmo_mf.leaderboard._paired import Array, components, components_of_seeds
from elmo_mf.leaderboard._score_estimates import Scores
from elmo_mf.leaderboard._statistics import estimates
from elmo_mf.records.outputs import SplitOutputs


def _interval(table: Array, clusters: Array | None = None) -> tuple[float, float]:
    (estimate,) = estimates([components(table, clusters)])
    return estimate.mean - estimate.half_width(), estimate.mean + estimate.half_width()


def test_one_seed_is_scipys_bootstrap_of_the_examples() -> None:
    table = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], (1, 2000), p=[0.1, 0.82, 0.08])
    wanted = bootstrap((table[0],), np.mean, rng=np.random.default_rng(1), n_resamples=4000).confidence_interval
    low, high = _interval(table)
    assert high - low == pytest.approx(wanted.high - wanted.low, rel=0.04)
    assert low == pytest.approx(wanted.low, abs=0.0007)


def test_documents_are_scipys_bootstrap_of_the_documents() -> None:
    """Examples of one document are drawn together, and documents have different numbers of examples."""
    rng = np.random.default_rng(0)
    counts = rng.integers(5, 60, 80)
    clusters = np.repeat(np.arange(80), counts)
    table = (rng.normal(size=80)[clusters] + rng.normal(size=len(clusters)))[None]

    def mean(sums: Array, sizes: Array, axis: int) -> Array:
        return np.asarray(sums.sum(axis) / sizes.sum(axis))

    sums = np.bincount(clusters, table[0])
    done = bootstrap((sums, counts), mean, paired=True, rng=np.random.default_rng(1), n_resamples=4000)
    low, high = _interval(table, clusters.astype(np.float64))
    assert high - low == pytest.approx(done.confidence_interval.high - done.confidence_interval.low, rel=0.06)
    alone = _interval(table)
    assert high - low > 3 * (alone[1] - alone[0])


def test_components_come_back() -> None:
    """The components of a large table are those that it was drawn with."""
    rng = np.random.default_rng(0)
    seeds, examples, both = 0.3 * rng.normal(size=(60, 1)), rng.normal(size=(1, 4000)), 2 * rng.normal(size=(60, 4000))
    parts = components(0.5 + seeds + examples + both)
    assert parts.of_seeds == pytest.approx(0.3**2, rel=0.3) and parts.of_both == pytest.approx(4 / 4000, rel=0.02)
    assert parts.of_examples == pytest.approx(1 / 4000, rel=0.06) and (parts.seeds, parts.units) == (60, 4000)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 3, 5])
@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_hold_the_truth(seeds: int, clustered: bool) -> None:
    """Of tables of new seeds and new examples, 95 % of the intervals contain the mean; by seeds alone, far fewer do."""
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(40), 5)
    within, alone = [], []
    for _ in range(1500):
        by_example = 0.8 * rng.normal(size=40)[clusters] if clustered else 0.8 * rng.normal(size=200)
        by_seed = 0.02 * rng.normal(size=(seeds, 1)) if seeds > 1 else 0.0
        table = by_seed + by_example + 0.5 * rng.normal(size=(seeds, 200))
        low, high = _interval(table, clusters.astype(np.float64) if clustered else None)
        within.append(low <= 0 <= high)
        (by_seeds,) = estimates([components_of_seeds(table.mean(axis=1))])
        alone.append(abs(by_seeds.mean) <= by_seeds.half_width())
    assert 0.93 < np.mean(within) < 0.985
    assert np.mean(alone) < 0.88


def test_outputs_of_other_examples_count_by_seed_alone() -> None:
    """Where a run lacks outputs, or has them for other examples, only the scores of the seeds are compared."""
    scores = Scores()
    for key, count in (("a", 10), ("b", 10), ("c", 9)):
        for seed in (1, 2):
            values = np.linspace(0, seed, count, dtype=np.float32)
            scores.means[key, seed] = float(values.mean())
            scores.outputs[key, seed] = SplitOutputs(values)
    del scores.outputs["b", 2]
    runs = {key: [(key, 1), (key, 2)] for key in "abc"}
    own = scores.components(runs["a"])
    assert own is not None and own.units == 10 and own.mean == pytest.approx(0.75)
    for other in "bc":
        parts = scores.components(runs["a"], runs[other])
        assert parts is not None and (parts.units, parts.seeds) == (0, 2)
    paired = scores.components(runs["a"][:1], runs["b"][:1])
    assert paired is not None and (paired.units, paired.mean, paired.of_examples) == (10, 0, 0)
    assert scores.components([]) is None
