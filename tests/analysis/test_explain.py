"""Tests of the analysis, on records with a known answer."""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import stats

from elmo_mf.analysis import findings, write_explanation
from elmo_mf.analysis._explanation import draw_bars, norm_table, plot_explanation
from elmo_mf.analysis.correlations import (
    ACTIVATION,
    INPUTS,
    LOSS,
    MATRIX,
    Explanation,
    _covers,
    _disjoint,
    correlation,
    explain,
    mean_interval,
    rank_correlation,
)
from elmo_mf.errors import InputError
from elmo_mf.records import Compression
from elmo_mf.records.record import LstmMatrix
from tests.records.samples import boards_of, record, signed, write

NORMS = {"l1": 1.0, "frobenius": 1.0, "spectral": 1.0, "nuclear": 1.0, "std": 1.0, "effective_rank": 1.0}


def _matrix(target: str, layer: int, scale: float) -> dict[str, Any]:
    norms = {name: value * scale for name, value in NORMS.items()}
    return {"direction": "forward", "layer": layer, "target": target, "shape": [8, 4], "rank": 4, "parameters": 48,
            "energy": 0.5, "error": 0.1 * scale, "input_error": 0.2 / scale, "norms": norms}  # fmt: skip


def _one(target: str, layer: int, seed: int, score: float, norm: float, **changes: Any) -> dict[str, Any]:
    """Build a record of one target and layer; its activation error is a tenth of the norm."""
    compression = Compression(method="svd", rank=4, targets=target, layers=[layer]).to_dict()
    entry = record(4, score, seed, activation_error={"all": norm / 10, "layers": [], "sentences": 9}, **changes)
    entry["run"]["compression"] = compression
    entry["matrices"] = [_matrix(target, layer, norm)]
    entry["size"]["lstm_parameters"] = 1000 - 200
    return entry


def _records(cost_of_input: float) -> list[dict[str, Any]]:
    """Build records with dense at 0.50; `recurrent` costs one point, `projection` two; errors rise with norms."""
    noise = {1: 0.001, 2: -0.001, 3: 0.0}
    records = [record(None, 0.50, seed) for seed in noise]
    costs = {"input": cost_of_input, "recurrent": 0.01, "projection": 0.02}
    for index, (target, cost) in enumerate(costs.items()):
        for layer in (0, 1):
            for seed, extra in noise.items():
                records.append(_one(target, layer, seed, 0.50 - cost + extra * (1 + layer), 1.0 + 2 * index + layer))
    return records


def _explained(cost_of_input: float) -> Explanation:
    return explain(boards_of(_records(cost_of_input))[0])


def test_costs() -> None:
    rows = [dict(row) for _, row in _explained(0.05).costs.iterrows()]
    costs = {(row["target"], row["layers"]): row for row in rows}
    one = costs["input", "0"]
    assert (one["seeds"], one["saved"]) == (3, 200)
    assert (one["loss"], one["activation"]) == (pytest.approx(0.05), pytest.approx(0.1))
    assert one["loss_se"] == pytest.approx(0.001 / np.sqrt(3))
    assert one["loss_per"] == pytest.approx(0.05 * 500) and one["activation_per"] == pytest.approx(0.1 * 500)
    assert costs["projection", "1"]["loss"] == pytest.approx(0.02)


@pytest.mark.parametrize(("cost", "verdict"), [(0.05, "agrees"), (0.0, "disagrees"), (0.0101, "undecided")])
def test_additive_against_multiplicative(cost: float, verdict: str) -> None:
    records = _records(cost)
    if verdict == "undecided":
        first = next(r for r in records if (r["run"]["compression"] or {}).get("targets") == ["input"])
        first["scores"]["accuracy"] -= 0.02
    explanation = explain(boards_of(records)[0])
    assert explanation.additive.n == 6
    text = findings([explanation])[0]
    assert "Additive recurrence costs more, The task sst" in text and f": {verdict}.**" in text


def test_norms_against_activation_errors() -> None:
    explanation = _explained(0.05)
    rows = {(row.norm, row.outcome): row for row in explanation.correlations}
    clear = rows["nuclear", ACTIVATION].spearman
    assert clear.n == 6 and clear.value == pytest.approx(1) and clear.excludes_zero
    _, norms, dearest = findings([explanation])
    assert "no result" in norms and "Exploratory, of 12 rank" in norms and "nuclear with activation error" in norms
    assert rows["nuclear", LOSS].spearman.value < 0
    assert ": `projection` of layer 1 (" in dearest and "cheapest is `input` of layer 0 (" in dearest
    assert explanation.first.n == 9 and explanation.first.value == pytest.approx(0, abs=1e-3)
    assert (MATRIX not in {outcome for _, outcome in rows}) and len(explanation.points[INPUTS]) == 0


def test_matrices_of_the_plain_svd() -> None:
    """Only the lowest rank and one seed count, because the matrices are the same for all."""
    whole = record(4, 0.4, 1, activation_error={"layers": [], "all": 0.3})
    whole["matrices"] = [_matrix(target, layer, 1.0 + layer) for target in ("input", "recurrent") for layer in (0, 1)]
    larger = record(8, 0.4, 1, activation_error={"layers": [], "all": 0.3})
    larger["matrices"] = whole["matrices"][:1]
    explanation = explain(boards_of([*_records(0.05), whole, larger])[0])
    rows = {(row.norm, row.outcome): row for row in explanation.correlations}
    assert rows["l1", MATRIX].pearson.value == pytest.approx(1) and rows["l1", MATRIX].pearson.n == 4
    assert rows["l1", INPUTS].pearson.value == pytest.approx(-1)
    assert len(explanation.costs) == 6


@pytest.mark.parametrize("more", [{"highway_rank": 2}, {"distill": {"text": "d" * 64, "steps": 9}}])
def test_scores_that_tell_of_more_than_a_target_are_left_out(more: dict[str, Any]) -> None:
    other = _one("input", 0, 1, 0.1, 9.0)
    other["run"]["compression"] |= more
    with_it, without = (
        explain(boards_of(records)[0]) for records in ([*_records(0.05), signed(other)], _records(0.05))
    )
    assert with_it.costs.equals(without.costs)


def test_methods_are_named_by_what_distinguishes_them() -> None:
    records = _records(0.05)
    by_gate = _one("input", 0, 1, 0.4, 1.0)
    by_gate["run"]["compression"]["granularity"] = "gate"
    costs = explain(boards_of([*records, signed(by_gate)])[0]).costs
    assert costs["method"].value_counts().to_dict() == {"svd": 6, "svd granularity gate": 1}


def test_a_whole_does_not_stand_beside_its_parts() -> None:
    """Matrices count once if all layers, or one direction of them, are also compressed together."""
    records = _records(0.05)
    for target in ("input", "recurrent", "projection"):
        for changes in ({"layers": "all"}, {"layers": [0, 1]}, {"directions": ["forward"]}):
            whole = _one(target, 0, 1, 0.1, 99.0)
            whole["run"]["compression"] |= {"layers": "all"} | changes
            whole["matrices"] = [_matrix(target, layer, 99.0) for layer in (0, 1)]
            records.append(signed(whole))
    explanation = explain(boards_of(records)[0])
    points = explanation.points[ACTIVATION]
    assert sorted(zip(points["target"], points["layers"], strict=True)) == [
        (target, layer) for target in ("input", "projection", "recurrent") for layer in "01"
    ]
    assert {row.spearman.n for row in explanation.correlations} == {6}
    assert len(explanation.costs) == 6 + 6 + 3
    assert set(explanation.costs["layers"]) == {"0", "1", "all", "0+1", "all forward"}


def test_a_whole_without_its_parts_stays() -> None:
    records = [one for one in _records(0.05) if (one["run"]["compression"] or {}).get("layers") != [1]]
    for target in ("recurrent", "projection"):
        whole = _one(target, 1, 1, 0.1, 99.0)
        whole["run"]["compression"]["layers"] = "all"
        whole["matrices"] = [_matrix(target, layer, 99.0) for layer in ((1,) if target == "recurrent" else (0, 1))]
        records.append(signed(whole))
    points = explain(boards_of(records)[0]).points[LOSS]
    assert sorted(zip(points["target"], points["layers"], strict=True)) == [
        ("input", "0"), ("projection", "0"), ("recurrent", "0"), ("recurrent", "all"),
    ]  # fmt: skip


def test_joint_is_input_and_recurrent() -> None:
    matrices = [LstmMatrix(**_matrix(target, 0, 1.0)) for target in ("joint", "input", "projection")]
    rows = pd.DataFrame({"covers": [_covers([matrix]) for matrix in matrices]})
    assert list(_disjoint(rows).index) == [1, 2]


@pytest.mark.parametrize(("sign", "verdict"), [(1, "agrees"), (-1, "disagrees")])
def test_agreement_has_a_sign(sign: int, verdict: str) -> None:
    """Matrices with larger norms that are cheaper, not dearer, contradict the paper; one norm alone decides."""
    records = [record(None, 0.50)]
    for layer, norm in enumerate((1.0, 2.0, 3.0, 4.0, 5.0, 6.0)):
        entry = _one("input", layer, 1, 0.4 - sign * 0.01 * layer, norm)
        entry["activation_error"]["all"] = 1 + sign * 0.1 * norm
        entry["scores"]["loss"] = 1 + sign * 0.1 * norm
        records.append(entry)
    explanation = explain(boards_of(records)[0])
    (norms,) = (line for line in findings([explanation]) if "Norms predict" in line)
    assert f": {verdict}.** Spearman's partial correlation of the Frobenius norm" in norms and "p 0.003" in norms
    for entry, frobenius in zip(records[1:], (3.0, 1.0, 4.0, 2.0, 6.0, 5.0), strict=True):
        entry["matrices"][0]["norms"]["frobenius"] = frobenius
    (other,) = (line for line in findings([explain(boards_of(records)[0])]) if "Norms predict" in line)
    assert ": undecided.**" in other and "those that exclude zero are l1 with loss in score" in other
    assert set(norm_table(explanation)["excludes zero"]) == {"yes" if sign > 0 else "yes, negative"}


def test_seeds_are_not_pairs() -> None:
    """Pairs of one seed have no interval; that of several seeds is SciPy's over the means of the seeds."""
    records = _records(0.05)
    alone = explain(boards_of([one for one in records if one["run"]["seed"] == 1])[0])
    assert alone.additive.n == 2 and alone.additive.value == pytest.approx(0.04) and np.isnan(alone.additive.low)
    assert ": undecided.**" in findings([alone])[0] and "with one seed" in findings([alone])[0]
    rng = np.random.default_rng(0)
    for entry in records:
        entry["scores"]["accuracy"] += rng.normal() / 100
    explanation = explain(boards_of(records)[0])
    scores: dict[tuple[Any, int], list[float]] = {}
    for entry in records[3:]:
        run = entry["run"]
        scores.setdefault((tuple(run["compression"]["targets"]), run["seed"]), []).append(entry["scores"]["accuracy"])
    means = [np.mean(scores[("recurrent",), seed]) - np.mean(scores[("input",), seed]) for seed in (1, 2, 3)]
    wanted = stats.ttest_1samp(means, 0).confidence_interval()
    assert (explanation.additive.n, explanation.additive.seeds) == (6, 3)
    assert [explanation.additive.low, explanation.additive.high] == pytest.approx([wanted.low, wanted.high])


@settings(max_examples=50, deadline=None)
@given(st.integers(5, 6), st.data())
@pytest.mark.slow
def test_rank_correlations_are_scipys(n: int, data: st.DataObject) -> None:
    """rho and p equal those of SciPy's permutation test, with ties too."""
    x, y = (np.array(data.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))) for _ in range(2))
    interval = rank_correlation(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(interval.value) and interval.p is None and not interval.excludes_zero
        return
    assert interval.value == pytest.approx(stats.spearmanr(x, y).statistic)

    def correlations(one: np.ndarray, axis: int) -> np.ndarray:
        ranks = stats.rankdata(one, axis=axis)
        found: np.ndarray = stats.pearsonr(ranks, np.broadcast_to(stats.rankdata(y), ranks.shape), axis=axis).statistic
        return found

    test = stats.permutation_test((x,), correlations, permutation_type="pairings", n_resamples=np.inf, vectorized=True)
    assert test.statistic == pytest.approx(interval.value)
    larger = np.abs(test.null_distribution) >= abs(interval.value) - 1e-9
    assert interval.p == pytest.approx(larger.mean())


def test_many_ranks_are_scipys() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    y = x + 2 * rng.normal(size=40)
    assert rank_correlation(x, y).p == pytest.approx(stats.spearmanr(x, y).pvalue)


def test_four_ranks_say_nothing() -> None:
    assert np.isnan(rank_correlation(np.arange(4.0), np.arange(4.0)).value)
    perfect = rank_correlation(np.arange(5.0), np.arange(5.0))
    assert perfect.p == pytest.approx(2 / 120) and np.isnan(perfect.low)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 30))
def test_correlations_are_scipys(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = x + rng.normal(size=n)
    pearson, theirs = correlation(x, y), stats.pearsonr(x, y)
    interval = theirs.confidence_interval(0.95)
    assert pearson.value == pytest.approx(theirs.statistic, abs=1e-9)
    assert (pearson.low, pearson.high) == pytest.approx((interval.low, interval.high), abs=1e-3)
    mean, interval = mean_interval(x), stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert (mean.low, mean.high) == pytest.approx((interval.low, interval.high))


def test_too_few_to_say() -> None:
    assert np.isnan(correlation(np.arange(3.0), np.arange(3.0)).value)
    assert np.isnan(correlation(np.ones(9), np.arange(9.0)).value)
    records = [record(None, 0.5, 1), _one("input", 0, 1, 0.4, 1.0)]
    explanation = explain(boards_of(records)[0])
    assert [("no result" in text) for text in findings([explanation])] == [True, True, False]


@pytest.mark.slow
def test_page_and_figure(tmp_path: Path) -> None:
    first = write_explanation(write(tmp_path / "a", _records(0.05)))[0]
    again = write_explanation(write(tmp_path / "b", _records(0.05)))[0]
    text = first.read_text()
    assert first.read_bytes() == again.read_bytes()
    assert "agrees" in text and 'src="explain-sst-light.svg"' in text
    for name in ("explain-sst-light.svg", "explain-sst-dark.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    row = next(line for line in text.splitlines() if line.startswith("| input"))
    runs = [run.strip() for run in row.split("|")[1:-1]]
    assert runs == ["input", "0", "svd", "rank 4", "3", "+5.0 ± 0.1", "0.100", "+2,500", "50.000"]


def test_bars_that_differ_by_target_alone_stand_together() -> None:
    """Groups of bars are ordered by rank as a number."""
    rows = [("input", "rank 128", "all", 0.1), ("recurrent", "rank 32", "all", 0.2), ("input", "rank 32", "all", 0.4),
            ("projection", "rank 32", "0", 0.3)]  # fmt: skip
    costs = pd.DataFrame(rows, columns=["target", "size", "layers", "loss"]).assign(method="svd", loss_se=np.nan)
    axes = Figure().add_subplot()
    draw_bars(axes, costs, "loss", "loss, points", 100)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["svd rank 32, layer 0", "svd rank 32", "svd rank 128"]
    bars = {round(bar.get_height()): bar for bar in cast(list[Rectangle], list(axes.patches))}
    groups = {height: round(bar.get_x() + bar.get_width() / 2) for height, bar in bars.items()}
    assert groups == {30: 0, 20: 1, 40: 1, 10: 2}
    assert bars[20].get_x() == pytest.approx(bars[40].get_x() + bars[40].get_width())
    assert bars[40].get_facecolor() == bars[10].get_facecolor() != bars[20].get_facecolor()


@pytest.mark.slow
def test_a_target_that_only_bars_show_is_in_the_legend(tmp_path: Path) -> None:
    records = _records(0.05)
    lone = _one("recurrent", 0, 1, 0.4, 1.0)
    lone["run"]["compression"] = Compression(method="svd", rank=2, targets="joint").to_dict()
    plot_explanation(explain(boards_of([*records, lone])[0]), tmp_path / "figure.svg", "light")
    text = (tmp_path / "figure.svg").read_text()
    assert ">joint<" in text and text.count(">input<") == 1


@pytest.mark.slow
def test_labels_of_directions_are_short(tmp_path: Path) -> None:
    """Points lie close together."""
    records = _records(0.05)
    plot_explanation(explain(boards_of(records)[0]), tmp_path / "layers.svg", "light")
    for one in records:
        if one["run"]["compression"] is not None:
            one["run"]["compression"]["directions"] = ["backward"]
            signed(one)
    plot_explanation(explain(boards_of(records)[0]), tmp_path / "directions.svg", "light")
    layers, directions = ((tmp_path / f"{name}.svg").read_text() for name in ("layers", "directions"))
    assert ">0<" in layers and "at points are layers<" in layers
    assert ">0b<" in directions and ">0 backward<" not in directions and "layers, f forward, b backward<" in directions


@pytest.mark.usefixtures("nothing_drawn")
def test_a_language_models_losses_are_perplexities(tmp_path: Path) -> None:
    """Losses are differences of log perplexities, not percentages; fine-tuned models are left out."""
    changes: dict[str, Any] = {"task": "ptb", "chance": 600.0, "elmo": None}
    records = [record(None, 100.0, **changes)]
    for layer in (0, 1):
        records.append(_one("input", layer, 1, 104.0 + layer, 1.0, **changes))
        records.append(_one("recurrent", layer, 1, 101.5 + layer, 2.0, **changes))
    records.append(_one("input", 0, 1, 101.0, 1.0, **changes))
    records[-1]["run"]["compression"]["finetune"] = {"epochs": 1, "learning_rate": 0.001}
    for entry in records:
        entry["run"]["elmo"] = None
    explanation = explain(boards_of(records)[0])
    assert len(explanation.costs) == 4 and explanation.dearer == explanation.additive.n == 2
    assert explanation.additive.value == pytest.approx((log(104 / 101.5) + log(105 / 102.5)) / 2)
    text = write_explanation(write(tmp_path, records))[0].read_text()
    assert "nats more than `recurrent`" in text and "more in 2 of 2 pairs" in text
    row = next(line for line in text.splitlines() if line.startswith("| input"))
    assert [run.strip() for run in row.split("|")[1:-1]][5:8] == ["+0.039", "0.100", "+19.6104"]


def test_numbers_for_other_programs() -> None:
    value = _explained(0.05).to_dict()
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert [row["target"] for row in value["costs"]] == ["input"] * 2 + ["projection"] * 2 + ["recurrent"] * 2
    assert value["additive"]["n"] == 6 and value["additive"]["low"] > 0
    assert {row["norm"] for row in value["correlations"]} == set(NORMS)


def test_nothing_to_explain(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no records"):
        write_explanation(tmp_path)
    old = write(tmp_path / "old", [record(None, 0.5), record(4, 0.4)])
    with pytest.raises(InputError, match="found no compression"):
        write_explanation(old)
    assert not (old / "EXPLAIN.md").exists()
