"""Tests that records are grouped by the content of their compression, and that equal labels are distinguished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from elmo_mf.analysis.correlations import explain
from elmo_mf.leaderboard import compare
from elmo_mf.leaderboard._plot_lines import lines_of
from elmo_mf.records.labels import encoder_names
from tests.records.samples import boards_of, parsed, record, signed, write

_TEXT, _OTHER = "1a2b3c4d" + "0" * 56, "1a2b3c4e" + "0" * 56


def _record(score: float, seed: int = 1, rank: int = 4, **keys: Any) -> dict[str, Any]:
    entry = record(rank, score, seed)
    entry["run"]["compression"] |= keys
    if keys.get("gradients") == "own":
        del entry["run"]["compression"]["gradients"]
        entry["run"]["task_gradients"] = True
    return signed(entry)


def _distilled(**keys: Any) -> dict[str, Any]:
    return {"distill": {"text": _TEXT, "steps": 10, "learning_rate": 0.002} | keys}


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        ({"calibration": _TEXT}, {}, ["svd all rank 4 calibrated on 1a2b3c4d", "svd all rank 4"]),
        (
            {"calibration": _TEXT},
            {"calibration": _OTHER},
            ["svd all rank 4 calibrated on 1a2b3c4d", "svd all rank 4 calibrated on 1a2b3c4e"],
        ),
        (
            {"calibration": _TEXT},
            {"calibration": f"{_TEXT[:-1]}1"},
            [f"svd all rank 4 calibrated on {_TEXT}", f"svd all rank 4 calibrated on {_TEXT[:-1]}1"],
        ),
        (
            {"gradients": _TEXT},
            {"gradients": "own"},
            ["svd all rank 4 gradients 1a2b3c4d", "svd all rank 4 gradients of the task"],
        ),
        (
            _distilled(),
            _distilled(text=_OTHER),
            ["svd all rank 4 distilled 10 on 1a2b3c4d", "svd all rank 4 distilled 10 on 1a2b3c4e"],
        ),
        (
            _distilled(),
            _distilled(learning_rate=0.1),
            ["svd all rank 4 distilled 10 at 0.002", "svd all rank 4 distilled 10 at 0.1"],
        ),
        (
            {"finetune": {"epochs": 1, "learning_rate": 0.001}},
            {"finetune": {"epochs": 1, "learning_rate": 0.01}},
            ["svd all rank 4 fine-tuned 1", "svd all rank 4 fine-tuned 1 at 0.01"],
        ),
        ({"allow_larger": True}, {}, ["svd all rank 4 allow_larger true", "svd all rank 4"]),
    ],
)
def test_what_a_label_leaves_out(one: dict[str, Any], other: dict[str, Any], names: list[str]) -> None:
    """Compressions with the same label have separate rows with distinct names; alone, each has its label."""
    records = [_record(0.4, **one), _record(0.3, **other)]
    (board,) = boards_of(records)
    assert list(board.frame["encoder"]) == names
    assert list(board.frame["score"]) == [0.4, 0.3] and list(board.frame["seeds"]) == [1, 1]
    for entry in records:
        (alone,) = boards_of([entry])[0].frame["encoder"]
        assert " on " not in alone and " calibrated" not in alone and " gradients" not in alone


def test_seeds_of_an_encoder_belong_together() -> None:
    """Seeds belong together however their compression is written, and with gradients of each seed."""
    records = [_record(0.4, seed) for seed in (1, 2)]
    records.append(_record(0.3, 3, targets="all", settings={}, allow_larger=False))
    for one in records:
        one["run"]["task_gradients"] = True
    (board,) = boards_of(records)
    assert list(board.frame["encoder"]) == ["svd all rank 4"] and list(board.frame["seeds"]) == [3]
    assert len({parsed(entry).run.encoder.key for entry in records}) == 1


def test_a_dense_model_is_the_baseline_of_those_tuned_likewise() -> None:
    """Baselines are matched by the settings of the tuning, even if two rates look the same."""
    rates, records = (0.01, 0.01 + 1e-12), []
    for rate, score in zip(rates, (0.5, 0.4), strict=True):
        tuning = {"epochs": 1, "learning_rate": rate}
        dense = record(None, score)
        dense["run"]["finetune"] = tuning
        records += [signed(dense), _record(score - 0.1, finetune=tuning)]
    rows = boards_of(records)[0].frame
    compressed = rows[rows["compressed"]]
    assert len(rows) == 4 and compressed["difference"].round(9).to_list() == [-0.1, -0.1]
    assert compressed["comparable"].all() and compressed["baseline"].nunique() == 2


def test_names_are_each_encoders_own() -> None:
    encoders = [
        parsed(_record(0.4, **keys)).run.encoder
        for keys in ({}, {"calibration": _TEXT}, {"calibration": _OTHER}, _distilled(), _distilled(steps=11))
    ]
    names = encoder_names([*encoders, parsed(record(None, 0.4)).run.encoder])
    assert len(set(names.values())) == len(names) == 6
    assert names[encoders[0].key] == "svd all rank 4" and "dense" in names.values()


def test_comparing_pairs_what_is_the_same(tmp_path: Path) -> None:
    """Encoders are paired by content, not by label."""
    plain, text = _record(0.4), _record(0.3, calibration=_TEXT)
    (same,) = compare(*(write(tmp_path / name, [record(None, 0.5), text]) for name in "ab"))
    assert [(row.encoder, row.same) for row in same.rows] == [("dense", True), ("svd all rank 4", True)]
    (changes,) = compare(write(tmp_path / "c", [record(None, 0.5), plain]), tmp_path / "b")
    assert [row.encoder for row in changes.rows] == ["dense"]
    assert (changes.only_first, changes.only_second) == (["svd all rank 4"], ["svd all rank 4 calibrated on 1a2b3c4d"])


def test_costs_are_told_apart() -> None:
    norms = dict.fromkeys(("l1", "frobenius", "spectral", "nuclear", "std", "effective_rank"), 1.0)
    matrix = {"direction": "forward", "layer": 0, "target": "input", "shape": [8, 4], "rank": 4, "parameters": 48,
              "energy": 0.5, "error": 0.1, "input_error": 0.2, "norms": norms}  # fmt: skip
    records = [record(None, 0.5)]
    different: list[dict[str, Any]] = [{}, {"calibration": _TEXT}, {"granularity": "gate"}]
    for keys in different:
        entry = _record(0.4, targets=["input"], **keys)
        records.append(entry | {"matrices": [matrix], "activation_error": {"layers": [0.1], "all": 0.1}})
    costs = explain(boards_of(records)[0]).costs
    assert costs["seeds"].to_list() == [1, 1, 1]
    assert costs["method"].to_list() == ["svd", "svd calibrated on 1a2b3c4d", "svd granularity gate"]


def test_lines_are_of_what_differs_in_rank_alone() -> None:
    texts: list[dict[str, Any]] = [{}, {"calibration": _TEXT}]
    records = [_record(0.4, rank=rank, **keys) for rank in (4, 8) for keys in texts]
    (board,) = boards_of(records)
    names = dict(zip(board.frame["key"], board.frame["encoder"], strict=True))
    assert {names[key]: line for key, line in lines_of(board).items()} == {
        "svd all rank 4": "svd all",
        "svd all rank 8": "svd all",
        "svd all rank 4 calibrated on 1a2b3c4d": "svd all calibrated on 1a2b3c4d",
        "svd all rank 8 calibrated on 1a2b3c4d": "svd all calibrated on 1a2b3c4d",
    }
