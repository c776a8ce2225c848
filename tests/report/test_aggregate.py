"""Means, differences and marks, against sums done by hand."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmo_mf.report.aggregate import boards
from tests.report.records import record


def test_means_and_differences() -> None:
    records = [record(None, 0.50, 1), record(None, 0.40, 2), record(4, 0.45, 1), record(4, 0.37, 2), record(8, 0.49, 1)]
    (board,) = boards(records)
    rows = board.rows.set_index("encoder")
    assert list(rows.index) == ["svd all rank 8", "dense", "svd all rank 4"]
    assert rows.loc["dense", "score"] == pytest.approx(0.45)
    assert rows.loc["dense", "std"] == pytest.approx(statistics.stdev([0.5, 0.4]))
    assert rows.loc["svd all rank 4", "difference"] == pytest.approx(-0.04)
    assert rows.loc["svd all rank 8", "difference"] == pytest.approx(-0.01)  # against dense of its own seed
    assert list(rows["seeds"]) == [1, 2, 2]
    assert list(rows["best"]) == [True, False, False]


def test_marks_of_chance() -> None:
    (board,) = boards([record(None, 0.40), record(4, 0.21), record(8, 0.23)])
    assert dict(zip(board.rows["encoder"], board.rows["at_chance"], strict=True)) == {
        "dense": False, "svd all rank 8": False, "svd all rank 4": True,
    }  # fmt: skip  # two standard errors of 2,210 sentences at 0.2 are 0.017


def test_one_board_a_task_and_setting() -> None:
    other = record(None, 0.3)
    other["cell"]["data"]["train"]["limit"] = 100
    found = boards([record(None, 0.3), record(None, 0.3, task="squad"), other, record(4, 0.2)])
    assert [(board.task.name, len(board.rows)) for board in found] == [("squad", 1), ("sst", 1), ("sst", 2)]


def test_no_dense_yet() -> None:
    (board,) = boards([record(4, 0.3)])
    assert board.rows["difference"].isna().all() and board.rows["best"].all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([None, 2, 4]), st.integers(1, 3)), min_size=1, unique=True), st.randoms())
def test_the_order_of_records_does_not_matter(cells: list[tuple[int | None, int]], random: object) -> None:
    records = [record(rank, 0.3 + 0.01 * seed, seed) for rank, seed in cells]
    shuffled = list(records)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert boards(records)[0].rows.equals(boards(shuffled)[0].rows)
