"""Tests of intervals over few seeds, against limma, SciPy and simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from elmo_mf.leaderboard.statistics import Array, half_width, moderated


def test_shrunk_variances_are_limmas() -> None:
    """The numbers are from `squeezeVar` of limma 3.54.1, the authors' implementation, with R 4.2.2."""
    variances = np.array([2.209, 0.348, 11.424, 0.230, 0.640, 2.789, 0.0025, 8.702])
    shrunk, prior = moderated(variances, np.array([2.0, 2, 2, 1, 2, 2, 1, 2]))
    assert prior == pytest.approx(1.21789273284)
    assert shrunk == pytest.approx([
        1.584826206336, 0.428168632884, 7.312176845433, 0.411111285359,
        0.609653862034, 1.945310565606, 0.308536441846, 5.620386455892,
    ])  # fmt: skip
    shrunk, prior = moderated(np.array([0.9, 1.1, 1.0, 0.95]), np.full(4, 2.0))
    assert prior == math.inf and shrunk == pytest.approx([0.9875] * 4)


@given(st.lists(st.floats(1e-6, 1e6), max_size=8), st.integers(1, 4))
def test_shrinking_keeps_the_order(values: list[float], freedom: int) -> None:
    variances = np.sort(np.array(values))
    shrunk, prior = moderated(variances, np.full(len(values), float(freedom)))
    assert prior >= 0 and (np.diff(shrunk) >= -1e-9 * shrunk[1:]).all() and (shrunk > 0).all()
    if len(values) > 1:
        assert np.ptp(np.log(shrunk)) <= np.ptp(np.log(variances)) + 1e-9


def _boards(count: int, encoders: int, seeds: int) -> tuple[Array, pd.DataFrame]:
    """Simulate differences to a dense encoder whose true value is zero, for encoders of different variance."""
    rng = np.random.default_rng(0)
    deviations = np.exp(0.7 * rng.normal(size=(count, encoders, 1)))
    scores = deviations * rng.normal(size=(count, encoders, seeds)) - rng.normal(size=(count, 1, seeds))
    index = pd.MultiIndex.from_product(
        [range(count), range(encoders), range(seeds)], names=["board", "encoder", "seed"]
    )
    return scores, pd.DataFrame({"difference": scores.reshape(-1)}, index=index).reset_index()


def test_intervals_hold_the_truth() -> None:
    """Intervals contain zero about as often as they claim, and are much narrower than Student's."""
    scores, frame = _boards(300, 8, 3)
    half = np.array([half_width(differences).to_numpy() for _, differences in frame.groupby("board")])
    assert 0.92 < (abs(scores.mean(axis=2)) <= half).mean() < 0.96
    student = t.ppf(0.975, 2) * scores.std(axis=2, ddof=1) / 3**0.5
    assert np.median(half) < 0.8 * np.median(student)


def test_what_has_no_interval() -> None:
    """An encoder with one seed, or without a seed that dense has, has no interval."""
    frame = pd.DataFrame(
        {"encoder": list("aabc"), "difference": [0.1, 0.3, 0.2, math.nan]},
    )
    half = half_width(frame)
    assert half["a"] == pytest.approx(t.ppf(0.975, 1) * 0.1) and math.isnan(half["b"])
