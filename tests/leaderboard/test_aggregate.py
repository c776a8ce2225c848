"""Tests of means, differences and marks, with numbers computed by hand."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from elmo_mf.leaderboard._setting_names import setting_names
from elmo_mf.leaderboard.aggregate import pareto_front
from elmo_mf.records.labels import encoder_label
from tests.records.samples import boards_of, parsed, record, signed


def test_what_is_saved_around_the_lstms_counts() -> None:
    """Of two encoders with the same LSTMs and score, the one with the smaller character CNN is on the front."""
    whole, less = record(4, 0.45), record(4, 0.45)
    less["run"]["compression"] |= {"highway_rank": 2}
    less["size"]["char_cnn_multiply_adds"] -= 100
    less["size"]["encoder_bytes"] = 1_500_000
    (board,) = boards_of([record(None, 0.50), whole, signed(less)])
    rows = board.frame.set_index("encoder")
    assert rows["pareto_front"].to_dict() == {"dense": True, "svd all rank 4": False, "svd all rank 4 highways 2": True}
    assert rows["multiply_adds"].to_dict() == {"dense": 1500, "svd all rank 4": 540, "svd all rank 4 highways 2": 440}
    assert rows["megabytes"].to_dict() == {"dense": 0.006, "svd all rank 4": 0.00216, "svd all rank 4 highways 2": 1.5}


def test_means_and_differences() -> None:
    records = [record(None, 0.50, 1), record(None, 0.40, 2), record(4, 0.45, 1), record(4, 0.37, 2), record(8, 0.49, 1)]
    (board,) = boards_of(records)
    rows = board.frame.set_index("encoder")
    assert list(rows.index) == ["svd all rank 8", "dense", "svd all rank 4"]
    assert rows.loc["dense", "score"] == pytest.approx(0.45)
    assert rows.loc["dense", "std"] == pytest.approx(statistics.stdev([0.5, 0.4]))
    assert rows.loc["svd all rank 4", "difference"] == pytest.approx(-0.04)
    assert rows.loc["svd all rank 8", "difference"] == pytest.approx(-0.01)  # to dense with the same seed
    assert list(rows["seeds"]) == [1, 2, 2]
    assert list(rows["recommended"]) == [False, False, False]  # of too few seeds to say so


def test_the_interval_of_a_difference() -> None:
    """The interval is SciPy's paired one; two seeds can only show a loss, and one seed has no interval."""
    dense, other = [0.50, 0.40, 0.47], [0.52, 0.41, 0.46]
    for values, verdict in (
        ([0.45, 0.37, 0.40], "worse"),
        (other, "undecided"),
        ([0.499, 0.399, 0.4695], "equivalent"),
        (other[:2], "undecided"),
        ([0.40, 0.301], "worse"),
        ([0.3], "undecided"),
    ):
        scores = {None: dense, 4: values}
        records = [record(rank, score, seed) for rank, by_seed in scores.items() for seed, score in enumerate(by_seed)]
        row: Any = boards_of(records)[0].frame.set_index("encoder").loc["svd all rank 4"]
        assert row["verdict"] == verdict
        if len(values) > 1:
            wanted = ttest_rel(values, dense[: len(values)]).confidence_interval()
            assert (row["low"], row["high"]) == (pytest.approx(wanted.low), pytest.approx(wanted.high))
        else:
            assert np.isnan(row["low"]) and np.isnan(row["high"])


def test_what_is_tuned_is_compared_with_dense_tuned_likewise() -> None:
    tuning = {"epochs": 1, "learning_rate": 0.001}
    records = []
    for seed in (1, 2):
        compressed, dense = (record(rank, score, seed) for rank, score in ((4, 0.45), (None, 0.5)))
        compressed["run"]["compression"]["finetune"] = dense["run"]["finetune"] = tuning
        records += [signed(compressed), signed(dense), record(None, 0.4, seed), record(8, 0.39, seed)]
    (board,) = boards_of(records)
    rows = board.frame.set_index("encoder")
    assert list(rows.index) == ["dense fine-tuned 1", "svd all rank 4 fine-tuned 1", "dense", "svd all rank 8"]
    assert rows["difference"].round(6).to_dict() == {
        "dense fine-tuned 1": 0.0, "svd all rank 4 fine-tuned 1": -0.05, "dense": 0.0, "svd all rank 8": -0.01,
    }  # fmt: skip
    assert list(rows.index[rows["comparable"]]) == ["svd all rank 4 fine-tuned 1", "svd all rank 8"]
    assert list(rows.index[~rows["compressed"]]) == ["dense fine-tuned 1", "dense"]
    alone = boards_of([one for one in records if "finetune" not in one["run"]])[0].frame.set_index("encoder")
    assert alone.loc["svd all rank 4 fine-tuned 1", "difference"] == pytest.approx(0.05)
    assert list(alone.index[alone["comparable"]]) == ["svd all rank 8"]


def test_tunings_of_other_learning_rates_are_others() -> None:
    names = []
    for rate in (0.001, 0.01):
        tuned = record(4, 0.4)
        tuned["run"]["compression"]["finetune"] = {"epochs": 1, "learning_rate": rate}
        names.append(encoder_label(parsed(tuned).run))
    assert names == ["svd all rank 4 fine-tuned 1", "svd all rank 4 fine-tuned 1 at 0.01"]


def test_one_seed_has_no_interval() -> None:
    (board,) = boards_of([record(None, 0.5), record(4, 0.5)])
    assert board.frame["low"].isna().all() and set(board.frame["verdict"]) == {"", "undecided"}
    assert set(board.frame["needs"]) == {"", "more seeds"}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=8))
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    good, cost = (pd.Series(values) for values in zip(*points, strict=True))
    front = pareto_front(good, cost)
    for index, (g, c) in enumerate(points):
        better = any((a >= g and b < c) or (a > g and b <= c) for a, b in points)
        assert front[index] == (not better)
    assert front.any()


@given(
    st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, float("inf"), -float("inf"), float("nan")])] * 2), max_size=8)
)
def test_the_front_of_what_is_not_known(points: list[tuple[float, float]]) -> None:
    """Encoders without a number neither dominate nor are dominated."""
    good, cost = (pd.Series([point[place] for point in points], dtype=float) for place in (0, 1))
    front = pareto_front(good, cost)
    for index, (g, c) in enumerate(points):
        assert front[index] == (not any((a >= g and b < c) or (a > g and b <= c) for a, b in points))


def test_marks_of_chance() -> None:
    (board,) = boards_of([record(None, 0.40), record(4, 0.21), record(8, 0.23)])
    assert dict(zip(board.frame["encoder"], board.frame["at_chance"], strict=True)) == {
        "dense": False, "svd all rank 8": False, "svd all rank 4": True,
    }  # fmt: skip  # two standard errors of 2,210 sentences at 0.2 are 0.017


def test_one_board_a_task_and_setting() -> None:
    other = record(None, 0.3)
    other["run"]["data"]["train"]["limit"] = 100
    boards = boards_of([record(None, 0.3), record(None, 0.3, task="squad"), other, record(4, 0.2)])
    assert [(board.name, len(board.rows)) for board in boards] == [("squad", 1), ("sst", 1), ("sst-2", 2)]
    assert [board.title.partition(";")[2] for board in boards] == ["", " limit.train 100", ""]


def test_settings_are_told_apart_by_what_a_reader_knows() -> None:
    """Settings are named by the ELMo, then by limits, with no more facts than are needed."""
    small, other, cut, sober = (record(None, 0.3) for _ in range(4))
    other["run"]["elmo"] = {"options": "p" * 64, "weights": "v" * 64}
    other["elmo"] = {"name": "best/weights.hdf5", "layers": 2, "cell": 640, "projection": 128}
    other["run"]["config"]["model"] = {"encoder": {"input_size": 256}}
    first, second = ["ELMo demo (wwwwwwww)", "ELMo best (vvvvvvvv)"]
    assert _names(small, other) == [first, second] and _names(small) == [""]
    cut["run"]["data"]["train"]["limit"] = 100
    assert _names(small, other, cut) == [first, second, f"{first}, limit.train 100"]
    sober["run"]["config"]["trainer"]["num_epochs"] = 3
    assert _names(small, sober) == ["config.trainer.num_epochs 12", "config.trainer.num_epochs 3"]
    assert {board.setting_name for board in boards_of([small, signed(other)])} == {first, second}


def _names(*records: dict[str, Any]) -> list[str]:
    return setting_names([parsed(one) for one in records])


def test_no_dense_yet() -> None:
    (board,) = boards_of([record(4, 0.3)])
    assert board.frame["difference"].isna().all() and list(board.frame["verdict"]) == [""]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([None, 2, 4]), st.integers(1, 3)), min_size=1, unique=True), st.randoms())
def test_the_order_of_records_does_not_matter(runs: list[tuple[int | None, int]], random: object) -> None:
    records = [record(rank, 0.3 + 0.01 * seed, seed) for rank, seed in runs]
    shuffled = list(records)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert boards_of(records)[0].frame.equals(boards_of(shuffled)[0].frame)
