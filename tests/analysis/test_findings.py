"""Tests of the two findings over all models, on compressions with known losses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from elmo_mf.analysis import answer_lines
from elmo_mf.analysis._explanation import board_table
from elmo_mf.analysis._findings import NORM, additive, compressions_of, findings_of, norm_correlation
from elmo_mf.records import Compression
from tests.records.samples import boards_of, record

_NORMS = ("l1", "frobenius", "spectral", "nuclear", "std", "effective_rank")


def _entry(target: str, layer: int, rank: int, loss: float, norm: float, seed: int, task: str) -> dict[str, Any]:
    matrix = {"direction": "forward", "layer": layer, "target": target, "shape": [8, 4 if target == "input" else 2],
              "rank": rank, "parameters": 48, "energy": 0.5, "error": 1 / rank, "input_error": 0.1,
              "norms": dict.fromkeys(_NORMS, norm)}  # fmt: skip
    example = record(rank, 0.5, seed, task, activation_error={"all": 0.1, "layers": []}, matrices=[matrix])
    example["run"]["compression"] = Compression(method="svd", rank=rank, targets=target, layers=[layer]).to_dict()
    example["run"]["elmo"] = _elmo(task)
    example["scores"]["loss"] = 1.0 + loss
    return example


def _elmo(task: str) -> dict[str, str]:
    """Each task has an ELMo of its own, and so is a model of its own."""
    return {"options": task.ljust(64, "1"), "weights": task.ljust(64, "0")}


def _model(task: str, ratio: float, norms: dict[int, float], seeds: tuple[int, ...] = (1, 2)) -> list[dict[str, Any]]:
    """Build records of a model in which `input` costs `ratio` times as much as `recurrent` at equal rank.

    Losses fall with the rank and, by layer, rise with the norm; seeds differ by noise that their means do not have.
    """
    records = [record(None, 0.5, seed, task) for seed in seeds]
    for one in records:
        one["run"]["elmo"] = _elmo(task)
    for layer, norm in norms.items():
        for rank in (2, 4, 8):
            for target, cost in (("input", ratio), ("recurrent", 1.0)):
                loss = cost * norm / rank
                noise = {seed: 0.01 * (-1) ** seed for seed in seeds}
                records += [_entry(target, layer, rank, loss + noise[seed], norm, seed, task) for seed in seeds]
    return records


_RISING = {0: 1.0, 1: 2.0, 2: 3.0}


@pytest.mark.parametrize(("ratio", "verdict"), [(3.0, "Yes"), (1.0, "Undecided"), (1 / 3, "No, less")])
def test_input_against_recurrent(ratio: float, verdict: str) -> None:
    """By the mean over models of the difference's share of both losses."""
    tasks = ("sst", "snli", "squad")
    boards = boards_of(one for task in tasks for one in _model(task, ratio * (1 + tasks.index(task) / 100), _RISING))
    summary = findings_of(boards)
    shares = [(r - 1) / (r + 1) for r in (ratio, 1.01 * ratio, 1.02 * ratio)]
    assert sorted(summary.at_rank.boards.values()) == pytest.approx(shares, abs=1e-9)
    expected = stats.t.interval(0.95, 2, np.mean(shares), stats.sem(shares))
    assert (summary.at_rank.mean.low, summary.at_rank.mean.high) == pytest.approx(expected)
    assert summary.at_error.boards == pytest.approx(summary.at_rank.boards)  # here the error follows from the rank
    if ratio != 1.0:
        assert f"recurrent ones? {verdict}.**" in answer_lines(summary)[0]


@pytest.mark.slow
@pytest.mark.parametrize(("data", "mark"), [("demo", "**DEMO: "), ("data", "**Do")])
def test_answers_from_demo_data_say_so(data: str, mark: str) -> None:
    boards = boards_of(one | {"data": data} for task in ("sst", "snli", "squad") for one in _model(task, 3.0, _RISING))
    assert all(line.startswith(mark) for line in answer_lines(findings_of(boards)))


def test_equal_parameters_are_other_ranks() -> None:
    """The input's matrix is larger, so that at equal parameters its rank is lower and it costs more."""
    (board,) = boards_of(_model("sst", 1.0, _RISING))
    table = compressions_of(board)
    assert additive(table, "rank") == pytest.approx(0, abs=1e-9)
    at_parameters = additive(table, "parameters")
    places = np.log([24.0, 40.0, 48.0, 80.0])
    one, other = (np.interp(places, np.log(shape * np.array([2, 4, 8])), 1 / np.array([2, 4, 8])) for shape in (12, 10))
    assert at_parameters == pytest.approx((one - other).sum() / (one + other).sum())


@pytest.mark.parametrize("sign", [1, -1])
def test_norms_given_size_and_rank(sign: int) -> None:
    """The partial correlation is that of residuals of ranks, which a model of size and rank leaves."""
    norms = _RISING if sign > 0 else {0: 3.0, 1: 2.0, 2: 1.0}
    records = _model("sst", 1.0, _RISING)
    for one in records:
        for matrix in one["matrices"]:
            matrix["norms"] = dict.fromkeys(_NORMS, norms[matrix["layer"]])
    table = compressions_of(boards_of(records)[0])
    correlation = norm_correlation(table).value
    ranks = table[[NORM, "loss", "size", "rank"]].rank().to_numpy()
    inverse = np.linalg.inv(np.corrcoef(ranks.T))
    assert correlation == pytest.approx(-inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1]))
    assert sign * correlation > 0.9


def test_ranks_of_one_matrix_are_not_independent() -> None:
    """The interval and p of a board's correlation count each matrix once, less those that size and rank take."""
    rng = np.random.default_rng(0)
    records = _model("sst", 1.0, {layer: 1.0 + rng.random() for layer in range(6)})
    for one in records:
        one["scores"]["loss"] += rng.random() / 5
    table = compressions_of(boards_of(records)[0])
    found = norm_correlation(table)
    assert (len(table), found.n) == (36, 12) and 0.1 < found.value < 0.95
    t = found.value * np.sqrt(8 / (1 - found.value**2))
    assert found.p == pytest.approx(2 * stats.t.sf(t, 8))
    half_width = stats.norm.ppf(0.975) * np.sqrt((1 + found.value**2 / 2) / 7)
    assert np.arctanh([found.low, found.high]) == pytest.approx(
        np.arctanh(found.value) + half_width * np.array([-1, 1]), rel=1e-3
    )


def test_models_that_cannot_answer_are_left_out() -> None:
    one, other = _model("sst", 3.0, _RISING), _model("snli", 3.0, {0: 1.0})
    other = [record for record in other if "recurrent" not in str(record["run"]["compression"])]
    summary = findings_of(boards_of([*one, *other]))
    assert list(summary.at_rank.boards) == ["The task sst"] == list(summary.norms.boards)
    assert np.isnan(summary.at_rank.mean.low)
    assert all("Unknown, too few models" in line for line in answer_lines(summary))
    assert "The task sst" in board_table(summary)
    assert summary.to_dict()["at_rank"]["mean"]["low"] is None


def test_two_models_do_not_answer() -> None:
    """Whatever their interval."""
    summary = findings_of(boards_of([*_model("sst", 3.0, _RISING), *_model("snli", 3.1, _RISING)]))
    assert summary.at_rank.mean.n == 2 and summary.at_rank.mean.low > 0
    assert all("Unknown, too few models" in line for line in answer_lines(summary))


def test_a_board_on_which_nothing_costs_anything_cannot_answer() -> None:
    """Its ratio would be one of noise: here, both targets gain a little."""
    (board,) = boards_of(_model("sst", 3.0, {0: -1e-3, 1: -1e-3, 2: 1e-4}))
    assert np.isnan(additive(compressions_of(board), "rank"))


@pytest.mark.parametrize("ratio_at_equal_error", [False, True])
def test_boards_on_which_nothing_costs_anything_are_named(ratio_at_equal_error: bool) -> None:
    """With how compressing both at the lowest rank changes their scores, as far as they can tell encoders apart.

    They give no ratio at equal errors either, where other pairs can cost a little.
    """
    free = _model("snli", 3.0, dict.fromkeys(_RISING, -1e-3))
    for one in free:
        compression = one["run"]["compression"]
        if compression is not None and compression["targets"] == ["input"]:
            one["scores"]["accuracy"] = 0.52 if compression["rank"] == 2 else 0.53
        if compression is not None and ratio_at_equal_error:
            one["scores"]["loss"] = 1 + (-3e-3 if compression["rank"] == 2 else 1e-3)
            if compression["rank"] == 2:
                one["matrices"][0]["error"] = 5.0 if compression["targets"] == ["input"] else 0.01
    if ratio_at_equal_error:
        (board,) = boards_of(free)
        assert not np.isnan(additive(compressions_of(board), "error"))
    summary = findings_of(boards_of([*_model("sst", 3.0, _RISING), *free]))
    (pair,) = summary.free
    assert (pair.board, pair.rank) == ("The task snli", 2)
    assert (pair.input.value, pair.recurrent.value) == pytest.approx((0.02, 0.0))
    line = answer_lines(summary)[0]
    assert "; on 1 other board with verdicts, both together cost nothing.**" in line
    assert "The task snli: `input` at rank 2 +2.0" in line and "`recurrent` +0.0" in line
    (row,) = (row for row in board_table(summary).splitlines() if "snli" in row)
    assert row.count("no cost") == 3
    json.dumps(summary.to_dict(), allow_nan=False)


@pytest.mark.parametrize("task", ["sst", "ptb"])
def test_answers_from_perplexity_alone_say_so(task: str) -> None:
    records = _model(task, 3.0, _RISING)
    for one in records:
        if task == "ptb":
            one["run"]["elmo"], one["elmo"], one["chance"] = None, None, 600.0
            one["scores"]["perplexity"] = float(np.exp(one["scores"]["loss"]))
    line = answer_lines(findings_of(boards_of(records)))[0]
    in_perplexity = "ones? In perplexity, unknown" in line and "** In perplexity, it costs 3 times" in line
    assert in_perplexity == (task == "ptb") and "cost nothing" not in line


@pytest.mark.slow
@pytest.mark.parametrize("shared", [("options", "weights"), ("options",), ("weights",)])
def test_boards_of_one_elmo_are_one_model(shared: tuple[str, ...]) -> None:
    """Their numbers are averaged, so that a second task of an ELMo does not count as another ELMo.

    Nor do other weights with the same options, which may be the same ELMo, trained for longer.
    """
    records = [
        one for task, ratio in (("sst", 3.0), ("snli", 2.0), ("squad", 4.0)) for one in _model(task, ratio, _RISING)
    ]
    for one in records:
        if one["run"]["task"] != "squad":
            one["run"]["elmo"] |= {name: _elmo("shared")[name] for name in shared}
    if "options" not in shared:
        assert findings_of(boards_of(records)).at_rank.mean.n == 3
        return
    summary = findings_of(boards_of(records))
    assert len(summary.at_rank.boards) == 3 and summary.at_rank.mean.n == 2
    assert summary.at_rank.mean.value == pytest.approx(((1 / 2 + 1 / 3) / 2 + 3 / 5) / 2)


def test_tasks_that_tell_nothing_apart_are_left_out() -> None:
    """As on the board, where dense does not beat a baseline."""
    one, other = _model("sst", 3.0, _RISING), _model("snli", 3.0, _RISING)
    baseline = record(None, 0.9, 1, "snli")
    baseline["run"]["baseline"] = "words"
    baseline["run"]["elmo"] = _elmo("snli")
    summary = findings_of(boards_of([*one, *other, baseline]))
    assert list(summary.at_rank.boards) == ["The task sst"]


def test_only_plain_svd_of_one_target_counts() -> None:
    records = _model("sst", 1.0, {0: 1.0}, seeds=(1,))
    method = Compression(method="semi_nmf", rank=2, targets="input", layers=[0]).to_dict()
    records[1]["run"]["compression"] = method
    records[2]["run"]["compression"]["targets"] = ["input", "recurrent"]
    table = compressions_of(boards_of(records)[0])
    assert len(table) == len(records) - 3
    assert set(table["rank"]) == {4, 8}
