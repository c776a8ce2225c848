"""Tests of intervals on whole boards, against SciPy and simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f, t, ttest_1samp

from elmo_mf.leaderboard._paired import Array, components, components_of_seeds
from elmo_mf.leaderboard._statistics import estimates, moderated


def test_few_encoders_have_students_interval() -> None:
    """Fewer than five have too little in common to be estimated."""
    values = np.random.default_rng(0).normal(size=(4, 3))
    for row, one in zip(values, estimates([components_of_seeds(row) for row in values]), strict=True):
        wanted = ttest_1samp(row, 0).confidence_interval()
        assert one.mean - one.half_width() == pytest.approx(wanted.low)
        assert one.below(0.0) == pytest.approx(ttest_1samp(row, 0, alternative="less").pvalue)


def test_the_common_variance_is_found() -> None:
    """Sample variances that differ as an F distribution says are shrunk by its parameters."""
    ratios = f.ppf((np.arange(400) + 0.5) / 400, 4, 6) * 0.7
    shrunk, freedom = moderated(ratios, np.full(400, 4.0))
    middle = slice(50, 350)
    assert freedom[middle] == pytest.approx(np.full(300, 10.0), rel=0.02)
    assert shrunk[middle] == pytest.approx((6 * 0.7 + 4 * ratios[middle]) / 10, rel=0.02)


def test_equal_variances_are_pooled() -> None:
    shrunk, freedom = moderated(np.array([0.9, 1.1, 1.0, 0.95, 1.05, 1.02]), np.full(6, 2.0))
    assert np.ptp(shrunk) < 0.12 and (freedom > 3).all() and (freedom <= 4.5).all()


def test_an_unstable_encoder_changes_nothing_for_the_others() -> None:
    """However large its variance is; and it keeps its own."""
    rng = np.random.default_rng(0)
    good = rng.chisquare(4, 12) / 4
    alone, _ = moderated(good, np.full(12, 4.0))
    for unstable in (1e3, 1e6):
        shrunk, freedom = moderated(np.append(good, unstable), np.full(13, 4.0))
        assert shrunk[:12] == pytest.approx(alone, rel=0.25)
        assert shrunk[12] == pytest.approx(unstable, rel=0.01) and freedom[12] == pytest.approx(4, abs=0.1)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1e6), max_size=12), st.integers(1, 4))
def test_variances_of_any_size(values: list[float], freedom: int) -> None:
    """All are shrunk towards one value, by which they become no less certain."""
    variances = np.array(values)
    shrunk, degrees = moderated(variances, np.full(len(values), float(freedom)))
    assert np.isfinite(shrunk).all() and (shrunk >= 0).all() and (degrees >= freedom).all()


def board(rng: np.random.Generator, seeds: int, spread: float, unstable: int, examples: float = 0.2) -> list[Array]:
    """Simulate differences to dense that are zero in truth: 12 encoders of different variance, and unstable ones."""
    dense = 0.01 * rng.normal(size=(seeds, 1))
    deviations = 0.01 * np.exp(spread * rng.normal(size=12))
    deviations[:unstable] = 0.1
    return [
        dense
        + one * rng.normal(size=(seeds, 1))
        + examples * rng.normal(size=400)
        + 0.4 * rng.normal(size=(seeds, 400))
        for one in deviations
    ]


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("by_example", [True, False])
@pytest.mark.parametrize(("spread", "unstable"), [(0.0, 0), (0.6, 0), (0.6, 1), (0.6, 3)])
def test_intervals_hold_the_truth(seeds: int, by_example: bool, spread: float, unstable: int) -> None:
    """On boards whose encoders differ in variance, with unstable ones, and with and without outputs by example."""
    rng = np.random.default_rng(0)
    within: list[list[bool]] = []
    for _ in range(150):
        tables = board(rng, seeds, spread, unstable, examples=0.2 if by_example else 0.0)
        parts = [components(table) if by_example else components_of_seeds(table.mean(axis=1)) for table in tables]
        within.append([abs(one.mean) <= one.half_width() for one in estimates(parts)])
    assert 0.92 < np.mean(within) < 0.985
    if unstable:
        assert np.mean(np.array(within)[:, unstable:]) > 0.93


def test_what_is_shared_narrows_intervals() -> None:
    """Three seeds of twelve encoders have much narrower intervals together than each alone has by Student's t."""
    values = np.random.default_rng(0).normal(size=(12, 3))
    half = [one.half_width() for one in estimates([components_of_seeds(row) for row in values])]
    student = t.ppf(0.975, 2) * values.std(axis=1, ddof=1) / 3**0.5
    assert np.median(half) < 0.7 * np.median(student)


def test_what_has_no_interval() -> None:
    """One seed without outputs has none, and equal scores have one without width."""
    one, equal = estimates([components_of_seeds(np.array([0.1])), components_of_seeds(np.full(3, 0.25))])
    assert math.isnan(one.half_width()) and math.isnan(one.below(0.0))
    assert equal.half_width() == 0 and equal.below(0.0) == 1 and equal.below(0.3) == 0
