"""Tests that comparisons across machines are marked, and machines of one kind preferred."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf.analysis import cost_table, write_explanation
from elmo_mf.analysis.correlations import explain
from elmo_mf.cli.main import main
from elmo_mf.leaderboard import Board, compare, machine_kind, table
from elmo_mf.leaderboard._machines import machine_text
from elmo_mf.leaderboard.exports import tidy
from elmo_mf.leaderboard.page import page_data
from elmo_mf.leaderboard.readme import readme
from elmo_mf.records.record import Machine
from tests.analysis.test_explain import _one
from tests.records.samples import MACHINE, boards_of, parsed, record, write

OTHER: dict[str, Any] = MACHINE | {"instructions": "AVX512"}


def _board(dense: list[dict[str, Any]], compressed: list[dict[str, Any]], scores: list[float] | None = None) -> Board:
    """Build a board of dense at 0.5 and one encoder at 0.4, or `scores`, from the machine of each seed."""
    return boards_of(_records(dense, compressed, scores or [0.4] * len(compressed)))[0]


def _records(
    dense: list[dict[str, Any]], compressed: list[dict[str, Any]], scores: list[float]
) -> list[dict[str, Any]]:
    records = [record(None, 0.5, seed, machine=machine) for seed, machine in enumerate(dense)]
    return records + [record(4, scores[seed], seed, machine=machine) for seed, machine in enumerate(compressed)]


def _mixed(board: Board) -> dict[str, bool]:
    return {str(name): bool(mixed) for name, mixed in zip(board.frame["encoder"], board.frame["mixed"], strict=True)}


@pytest.mark.parametrize("name", ["cpu", "instructions", "system", "gpu"])
def test_what_makes_another_kind(name: str) -> None:
    same = {"threads": 9, "cores": 9, "environment": {"ELMO_MF_NATIVE": "0"}}
    one, other, alike = (Machine(**MACHINE | changes) for changes in ({}, {name: "another"}, same))
    assert machine_kind(one) != machine_kind(other) and machine_kind(one) == machine_kind(alike)


def test_times_compare_on_one_machine_and_as_many_threads() -> None:
    def timed_on(**changes: Any) -> str:
        return machine_text(parsed(record(4, 0.4, **changes)).timing.machine)

    assert timed_on() == timed_on(machine=MACHINE | {"cores": 99})
    assert timed_on() != timed_on(machine=MACHINE | {"threads": 9})
    assert timed_on(timed={"versions": {}, "machine": OTHER}) == timed_on(machine=OTHER)


@pytest.mark.parametrize(
    ("dense", "compressed", "marked"),
    [
        ([MACHINE, MACHINE], [MACHINE, MACHINE], (False, False)),
        ([MACHINE, MACHINE], [OTHER, OTHER], (False, True)),
        ([MACHINE, OTHER], [MACHINE, OTHER], (True, True)),  # each pair on one machine, but the seeds on several
        ([MACHINE], [MACHINE, OTHER], (False, True)),
    ],
)
def test_marks(dense: list[dict[str, Any]], compressed: list[dict[str, Any]], marked: tuple[bool, bool]) -> None:
    board = _board(dense, compressed)
    assert _mixed(board) == dict(zip(("dense", "svd all rank 4"), marked, strict=True))
    names = list(table(board)["encoder"])
    assert tuple("‡" in name for name in names) == marked
    rows = page_data([board])["boards"][0]["rows"]
    assert tuple("mixed" in row["marks"] for row in rows) == marked
    assert list(tidy([board])["mixed"]) == list(marked)


def test_like_is_compared_with_like() -> None:
    """Three seeds with a dense encoder on their kind of machine make the difference; two are too few."""
    board = _board([MACHINE, OTHER, OTHER, OTHER], [OTHER] * 4, [0.9, 0.4, 0.3, 0.2])
    row = board.frame.set_index("encoder").loc["svd all rank 4"]
    assert row["difference"] == pytest.approx(-0.2) and row["score"] == pytest.approx(1.8 / 4)
    assert not row["mixed"] and row["verdict"] == "undecided"
    few = _board([MACHINE, OTHER, OTHER], [OTHER] * 3, [0.9, 0.4, 0.3]).frame.set_index("encoder").loc["svd all rank 4"]
    assert few["difference"] == pytest.approx(1.6 / 3 - 0.5) and few["mixed"]
    unlike = _board([MACHINE] * 3, [OTHER] * 3, [0.9, 0.4, 0.3]).frame.set_index("encoder").loc["svd all rank 4"]
    assert unlike["difference"] == pytest.approx(1.6 / 3 - 0.5) and unlike["mixed"]


@pytest.mark.slow
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=6))
def test_the_difference_is_of_alike_pairs_or_of_all(pairs: list[tuple[bool, bool]]) -> None:
    dense, compressed = ([OTHER if pair[place] else MACHINE for pair in pairs] for place in (0, 1))
    scores = [0.1 * seed for seed in range(len(pairs))]
    row = _board(dense, compressed, scores).frame.set_index("encoder").loc["svd all rank 4"]
    alike = [score - 0.5 for score, (a, b) in zip(scores, pairs, strict=True) if a == b]
    enough = len(alike) >= 3
    assert row["difference"] == pytest.approx(np.mean(alike if enough else [score - 0.5 for score in scores]))
    unlike = len(alike) < len(pairs) and not enough
    assert row["mixed"] == (unlike or len({b for _, b in pairs}) > 1)


def test_times_of_several_machines() -> None:
    timed = {"versions": {}, "machine": OTHER}
    pages = [
        readme(boards_of([record(None, 0.5), compressed]))
        for compressed in (record(4, 0.4), record(4, 0.4, timed=timed))
    ]
    assert ["Times are from several machines" in page for page in pages] == [False, True]


def test_compared_sweeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scores from another kind of machine and times from another machine are marked."""
    timed = {"versions": {}, "machine": OTHER}
    first = write(tmp_path / "a", [record(None, 0.5), record(4, 0.4), record(8, 0.4)])
    second = write(tmp_path / "b", [record(None, 0.5), record(4, 0.3, machine=OTHER), record(8, 0.4, timed=timed)])
    (comparison,) = compare(first, second)
    marks = [(row.encoder, row.mixed, row.timed_apart) for row in comparison.rows]
    assert marks == [("dense", False, False), ("svd all rank 4", True, True), ("svd all rank 8", False, True)]
    assert main(["compare", str(first), str(second)]) == 0
    lines = capsys.readouterr().out.splitlines()
    signs = {name: line.count("‡") for line in lines for name, *_ in marks if line.startswith(name)}
    assert signs == {"dense": 0, "svd all rank 4": 2, "svd all rank 8": 1}
    assert any(line.startswith("‡ on different kinds of machine") for line in lines)
    assert main(["compare", str(first), str(first)]) == 0 and "‡" not in capsys.readouterr().out


@pytest.mark.usefixtures("nothing_drawn")
def test_explained(tmp_path: Path) -> None:
    records = [record(None, 0.5), _one("input", 0, 1, 0.4, 1.0), _one("input", 1, 1, 0.4, 2.0, machine=OTHER)]
    explanation = explain(boards_of(records)[0])
    assert ["‡" in text for text in cost_table(explanation)["loss"]] == [False, True]
    assert "‡ scored on another kind" in write_explanation(write(tmp_path / "a", records))[0].read_text()
    assert "‡" not in write_explanation(write(tmp_path / "b", records[:2]))[0].read_text()
