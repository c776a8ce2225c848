"""Tests of what boards recommend: nothing that they call worse, with its costs in other tables of the same ELMo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elmo_mf.leaderboard import Board, boards, table
from elmo_mf.leaderboard._charts import figure, methods_of
from elmo_mf.leaderboard._elsewhere import elsewhere, harmless
from elmo_mf.leaderboard._headline import overview
from elmo_mf.leaderboard._recommend import recommendations, recommended
from elmo_mf.leaderboard.page._page_data import page_data
from elmo_mf.leaderboard.readme import remarks
from elmo_mf.records.outputs import Outputs, SplitOutputs
from tests.leaderboard.test_machines import OTHER
from tests.leaderboard.test_row_verdicts import _baseline, _board, _encoders, _row, _Task, _written


def _of_two_tasks(folder: Path, losses: tuple[float, float] = (0.7, 0.5)) -> list[Board]:
    """Build two boards of one ELMo; rank 8 is as good as dense on the first, and of an accuracy on the second."""
    task, entries = _Task(), []
    for name, small in zip(("snli", "sst"), losses, strict=True):
        for rank, accuracy in ((None, 0.7), (16, 0.7), (8, small)):
            for seed in (1, 2, 3, 4):
                entry, outputs = task.entry(rank, accuracy, seed, task=name)
                entry["latency"]["encoder"]["32"]["median_ms"] = 9.0 if rank is None else float(rank) / 2
                entries.append((entry, outputs))
        entries += [_baseline(task, "no-encoder", 0.4, seed, task=name) for seed in (1, 2, 3)]
    return boards(*_written(folder, *entries), 2)


def test_costs_in_other_tables_are_said(tmp_path: Path) -> None:
    """The fastest encoder of a table is worse in another: it is said, and what is good in both comes first."""
    both = _of_two_tasks(tmp_path)
    first = next(board for board in both if board.task == "snli")
    fast = _row(first, "svd all rank 8")
    assert fast.recommended
    (other,) = elsewhere(fast, first, both)
    assert other.board.task == "sst" and str(other).endswith(" points, worse")
    safe = harmless(first, both)
    assert safe is not None and safe.encoder == "svd all rank 16"
    text = overview([first, *(board for board in both if board is not first)])
    assert text.index("**Take** `svd all rank 16`") < text.index("**Or, for speed at a price,** `svd all rank 8`")
    assert f"In other tables of this ELMo: {other}." in text
    assert str(other) in page_data(both)["boards"][both.index(first)]["lead"]
    found = {one.aim: one for one in recommended(both, 2).boards["snli"].encoders}
    assert found["fast"].elsewhere == [str(other)]


def test_a_table_without_baselines_recommends_nothing_and_warns_of_nothing(tmp_path: Path) -> None:
    task = _Task()
    entries = _encoders(task, {None: 0.70, 8: 0.70}, 4)
    entries += [_baseline(task, "no-encoder", 0.4, seed) for seed in (1, 2, 3)]
    entries += [
        task.entry(rank, score, seed, task="snli") for rank, score in ((None, 0.7), (8, 0.5)) for seed in (1, 2)
    ]
    first, other = boards(*_written(tmp_path, *entries), 2)
    assert (first.task, other.task) == ("sst", "snli") and other.trust.decides and not other.trust.recommends
    assert elsewhere(_row(first, "svd all rank 8"), first, [first, other]) == []


def test_what_is_good_everywhere_is_taken_at_once(tmp_path: Path) -> None:
    both = _of_two_tasks(tmp_path, (0.7, 0.7))
    text = overview(both)
    assert text.startswith("**Take** `svd all rank 8`") and "at a price" not in text
    assert "non-inferior in all tables of this ELMo" in text


def test_validation_and_verdict_have_to_agree(tmp_path: Path) -> None:
    """An encoder that validation data show to be as good is not recommended where the table calls it worse."""
    task, entries = _Task(), []
    for rank, accuracy in ((None, 0.7), (8, 0.7)):
        for seed in (1, 2, 3, 4):
            entry, outputs = task.entry(rank, accuracy, seed)
            if rank == 8:
                test = outputs.splits["test"]
                failed = SplitOutputs(np.where(np.arange(len(test.score)) % 9, test.score, 0).astype(np.float32))
                outputs = Outputs({**outputs.splits, "test": failed})
            entries.append((entry, outputs))
    entries += [_baseline(task, "no-encoder", 0.4, seed) for seed in (1, 2, 3)]
    board = _board(tmp_path, *entries, margin=2)
    row = _row(board, "svd all rank 8")
    assert row.not_inferior and row.verdict == "worse"
    assert not row.recommended and not row.can_be_taken and recommendations(board) == []


def test_the_safe_encoder_changes_least(tmp_path: Path) -> None:
    """Not the one that gains most."""
    task = _Task()
    entries = _encoders(task, {None: 0.70, 16: 0.70, 8: 0.74}, 4)
    entries += [_baseline(task, "no-encoder", 0.4, seed) for seed in (1, 2, 3)]
    board = _board(tmp_path, *entries, margin=2)
    gain, equal = (_row(board, f"svd all rank {rank}") for rank in (8, 16))
    assert gain.can_be_taken and gain.validation_gain > equal.validation_gain
    assert gain.validation_change > gain.validation_gain > equal.validation_change > 0
    assert {one.aim: one.row.encoder for one in recommendations(board)}["safe"] == equal.encoder


def test_another_machine_leaves_no_verdict(tmp_path: Path) -> None:
    task = _Task()
    entries = _encoders(task, {None: 0.70, 16: 0.70}, 4)
    entries += [task.entry(8, 0.5, seed, machine=OTHER) for seed in (1, 2, 3, 4)]
    entries += [_baseline(task, "no-encoder", 0.4, seed) for seed in (1, 2, 3)]
    board = _board(tmp_path, *entries, margin=2)
    row = _row(board, "svd all rank 8")
    assert row.mixed and (row.verdict, row.needs, row.not_inferior) == ("", "", False)
    shown = dict(table(board)[["encoder", "verdict"]].values.tolist())
    assert [verdict for name, verdict in shown.items() if "rank 8" in name] == ["none: other machine ‡"]
    assert "1 encoder was scored on another kind of machine than dense (‡): no verdict." in remarks(board)
    assert _row(board, "svd all rank 16").verdict == "equivalent"


def test_one_seed_is_said_with_the_scores_that_are_compared(tmp_path: Path) -> None:
    """Dense is shown with the seed that both have, and why its lead is not enough."""
    task = _Task()
    entries = [task.entry(None, accuracy, seed) for seed, accuracy in ((1, 0.70), (2, 0.60))]
    board = _board(tmp_path, *entries, _baseline(task, "no-encoder", 0.5))
    baseline, dense = _row(board, "no ELMo"), _row(board, "dense")
    with_it = baseline.score - baseline.difference
    assert with_it > dense.score + 0.03
    numbers = f"{100 * baseline.score:.1f} with its only seed, dense {100 * with_it:.1f}"
    why = "one seed does not show how much it varies"
    assert board.trust.remark == f"No verdicts: dense is not shown to beat no ELMo ({numbers}); {why}."


def test_the_elmo_with_most_records_comes_first(tmp_path: Path) -> None:
    task, few = _Task(), []
    many = _encoders(task, {None: 0.7, 8: 0.7, 4: 0.7}, 2)
    for weights in ("0", "x"):
        other: dict[str, Any] = {"elmo": {"options": weights * 64, "weights": weights * 64}}
        few = [task.entry(rank, 0.7, run=other) for rank in (None, 8)]
        first, second = boards(*_written(tmp_path / weights, *few, *many))
        assert [len(board.records) for board in (first, second)] == [6, 2]
        assert [board.name for board in (first, second)] == ["sst", "sst-2"]


@pytest.mark.parametrize("margin", [2.0, 0.0])
def test_the_star_of_a_figure_is_that_of_the_table(tmp_path: Path, margin: float) -> None:
    """It stands above the recommended encoder, and no marker is a star or a diamond."""
    task = _Task()
    entries = _encoders(task, {None: 0.70, 8: 0.70}, 4)
    entries += [_baseline(task, "no-encoder", 0.4, seed) for seed in (1, 2, 3)]
    board = _board(tmp_path, *entries, margin=margin)
    drawn = figure(board, methods_of([board]))
    starred = [point["encoder"] for point in drawn["datasets"]["points"] if point["recommended"]]
    assert starred == [row.encoder for row in board.rows if row.recommended]
    assert starred == (["svd all rank 8"] if margin else [])
    for panel in drawn["hconcat"]:
        *others, star = panel["layer"]
        assert star["transform"][-1] == {"filter": "datum.recommended"}
        shapes = {str(shape) for layer in others for shape in _shapes(layer)}
        assert shapes and star["mark"]["shape"] not in shapes and "diamond" not in shapes


def _shapes(layer: dict[str, Any]) -> list[Any]:
    scale: list[Any] = layer["encoding"].get("shape", {}).get("scale", {}).get("range", [])
    return scale
