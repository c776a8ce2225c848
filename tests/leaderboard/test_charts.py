"""Tests of a board's plot, laid out by Vega."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vl_convert
from jsonschema import Draft7Validator
from scipy.stats import t

from elmo_mf.figures import COLORS, THEMES
from elmo_mf.leaderboard import Board
from elmo_mf.leaderboard._charts import figure, methods_of, plots
from elmo_mf.leaderboard._points import AXES, Point, points
from elmo_mf.leaderboard.readme import write_figures
from elmo_mf.records import Compression
from tests.conftest import ROOT
from tests.records.samples import boards_of, record, signed


def _with(entry: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Change the compression of a record."""
    entry["run"]["compression"] = Compression(**entry["run"]["compression"] | changes).to_dict()
    return signed(entry)


def _records(task: str, *methods: str) -> list[dict[str, Any]]:
    records = [record(None, 110.0, seed, task=task, speed_up=1.0) for seed in (1, 2)]
    for method in methods:
        records += [
            _with(record(rank, 100.0 + rank, seed, task=task), method=method) for rank in (4, 8) for seed in (1, 2)
        ]
    return records


def _items(specification: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the items of a drawn specification with the names of their marks, or the roles of these."""

    def inside(group: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        for item in group["items"]:
            yield group.get("name") or group["role"], item
            for inner in item.get("items", ()):
                yield from inside(inner)

    return list(inside(vl_convert.vegalite_to_scenegraph(specification, allowed_base_urls=[])["scenegraph"]))


def _of(items: list[tuple[str, dict[str, Any]]], name: str) -> list[dict[str, Any]]:
    return [item for mark, item in items if mark == name]


def _drawn(board: Board, axis: str, dots: list[Point]) -> list[tuple[str, dict[str, Any]]]:
    """Return the items of the page's plot across an axis, 300 pixels wide."""
    size = {"width": 300, "autosize": "pad"}
    return _items(plots(board, methods_of([board]))[axis] | size | {"datasets": {"points": dots}})


@pytest.mark.slow
@pytest.mark.parametrize("task", ["sst", "ptb"])
def test_it_is_vega_lite(task: str) -> None:
    (board,) = boards_of(_records(task, "svd"))
    schema = json.loads((files("altair.vegalite.v6.schema") / "vega-lite-schema.json").read_text(encoding="utf-8"))
    specifications = [*plots(board, ["svd"]).values(), figure(board, ["svd"])]
    assert len(specifications) == len(AXES) - 2  # neither activation errors nor AllenNLP's times are recorded
    for specification in specifications:
        Draft7Validator(schema).validate(specification)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["encoder_1_speed_up", "parameters", "megabytes"])
@pytest.mark.parametrize("task", ["sst", "ptb"])
def test_pareto_front(task: str, key: str) -> None:
    """The line is through what nothing else beats, by the definition, with ties in scores, values and both."""
    (board,) = boards_of(_records(task, "svd"))
    generator = np.random.default_rng(0)
    pairs = 2 * [(int(score), int(value)) for score, value in generator.integers(1, 40, (100, 2))]
    dots = [points(board)[0] | {"score": score, key: value} for score, value in pairs]
    less_is_better = key != "encoder_1_speed_up"
    unknown = [dots[0] | {key: None}, dots[0] | {"score": None, key: 0.5 if less_is_better else 99}]
    items = _drawn(board, key, dots + unknown)
    costs = [(-score if task == "sst" else score, value if less_is_better else -value) for score, value in pairs]
    front = {
        pair
        for pair, (loss, cost) in zip(pairs, costs, strict=True)
        if not any((a <= loss and b < cost) or (a < loss and b <= cost) for a, b in costs)
    }
    places = {
        (round(item["x"], 6), round(item["y"], 6)): pair
        for item, pair in zip(_of(items, "layer_3_marks"), pairs, strict=True)
    }
    line = _of(items, "layer_1_marks")
    assert {places[round(item["x"], 6), round(item["y"], 6)] for item in line} == front
    assert len(line) == 2 * len(front) > 4 and [item["x"] for item in line] == sorted(item["x"] for item in line)


@pytest.mark.slow
def test_a_method_looks_the_same_on_every_board() -> None:
    """Also where a board lacks methods that others have; the legend names what is on the board, below the panels."""
    found = boards_of([*_records("ptb", "nmf", "svd"), *_records("sst", "svd")])
    all_boards = sorted(found, key=lambda board: board.task)
    methods = methods_of(all_boards)
    assert methods == ["nmf", "svd"]
    for board, names in zip(all_boards, (["nmf", "svd", "dense"], ["svd", "dense"]), strict=True):
        items = _items(figure(board, methods))
        assert [item["text"] for item in _of(items, "legend-label")] == [*names, "all"]
        shown = dict(zip(names, _of(items, "legend-symbol"), strict=False))
        assert shown["svd"]["fill"] == COLORS[1] and shown["svd"]["shape"] == "square"
        for item in _of(items, "concat_0_layer_3_marks"):
            legend = shown[item["description"].split()[0]]
            assert all(item[name] == legend[name] for name in ("fill", "stroke", "shape"))
        (bottom,) = {item["y"] + item["height"] for name, item in items if name.endswith("_group")}
        assert all(item["y"] > bottom for item in _of(items, "legend"))


@pytest.mark.slow
def test_what_was_trained_again_is_hollow() -> None:
    """Markers of encoders that were trained again are hollow, of dense ones too, with one entry in the legend."""
    dense, plain, tuned, likewise = (record(rank, 100.0 + i, task="ptb") for i, rank in enumerate((None, 8, 8, None)))
    tuned["run"]["compression"]["finetune"] = {"epochs": 1, "learning_rate": 0.001}
    likewise["run"]["finetune"] = {"epochs": 1, "learning_rate": 0.001}
    ground, ink = THEMES["light"]
    for records, hollow in (([dense, plain], []), ([dense, plain, tuned], [COLORS[0]]),
                            ([dense, plain, tuned, likewise], [COLORS[0], ink])):  # fmt: skip
        (board,) = boards_of(records)
        items = _items(figure(board, ["svd"]))
        markers = _of(items, "concat_0_layer_3_marks")
        assert len(markers) == len(records)
        assert sorted(item["stroke"] for item in markers if item["fill"] == ground) == sorted(hollow)
        labels = [item["text"] for item in _of(items, "legend-label")]
        assert labels == ["svd", "dense"] + ["trained again"] * bool(hollow)
        symbols = dict(zip(labels, _of(items, "legend-symbol"), strict=True))
        assert {label for label, item in symbols.items() if item["fill"] == ground} == set(labels[2:])


@pytest.mark.slow
def test_lines_by_rank() -> None:
    """A line is through encoders that differ in rank only, in the style of its targets; one encoder has no line."""
    records = _records("ptb", "svd", "nmf")
    records += [_with(record(rank, 200.0, task="ptb"), targets="input") for rank in (4, 8, 16)]
    records.append(_with(record(4, 300.0, task="ptb"), targets="recurrent"))
    for text in ("a", "b"):
        calibrated = {"method": "whitened_svd", "calibration": 64 * text}
        records += [_with(record(rank, 150.0, task="ptb"), **calibrated) for rank in (4, 8)]
    (board,) = boards_of(records)
    items = _drawn(board, "rank", points(board))
    lines = [item["items"][0]["items"] for item in _of(items, "layer_1_pathgroup")]
    drawn = sorted((len(line), line[0]["stroke"], tuple(line[0]["strokeDash"])) for line in lines)
    pairs = [(2, color, (7, 3, 2, 3)) for color in (COLORS[0], COLORS[2], COLORS[2], COLORS[1])]
    assert drawn == [*pairs, (3, COLORS[1], (1, 0))]
    labels = {item["text"] for item in _of(items, "legend-label")}
    assert labels == {"all", "input", "svd", "nmf", "whitened_svd", "dense"}


def test_intervals_and_dense_scores() -> None:
    """A bar is the 95 % interval of the difference to dense, whose score is a horizontal line."""
    scores = {None: (0.40, 0.42), 4: (0.30, 0.36), 8: (0.35,)}
    (board,) = boards_of([record(rank, score, seed) for rank, few in scores.items() for seed, score in enumerate(few)])
    items = _drawn(board, "parameters", points(board))
    heights = {item["description"]: item["y"] for item in _of(items, "layer_3_marks")}
    (dense,) = _of(items, "layer_0_marks")
    assert dense["y"] == heights["dense"] and {dense["x"], dense["x2"]} == {0, 300}
    point = (heights["svd all rank 4"] - heights["dense"]) / 8  # pixels of a point of accuracy
    bars = {
        round((item["y"] + item["y2"]) / 2, 6): abs(item["y"] - item["y2"]) / point
        for item in _of(items, "layer_2_marks")
    }
    half = t.ppf(0.975, 1) * 2  # the differences are 10 and 6 points
    assert bars == {round(heights["svd all rank 4"], 6): pytest.approx(2 * half)}


@pytest.mark.parametrize("others", [True, False])
def test_figures_leave_out_what_is_compressed_in_part(others: bool) -> None:
    """The table folds it too; a board of nothing else shows it."""
    records = [record(None, 0.4), _with(record(8, 0.3), layers=[0]), *([record(4, 0.2)] if others else [])]
    (board,) = boards_of(records)
    shown = {point["encoder"] for point in figure(board, ["svd"])["datasets"]["points"]}
    assert shown == {"dense", "svd all rank 4" if others else "svd all layers 0 rank 8"}


def test_a_figure_without_lines_by_rank_has_a_size() -> None:
    """An empty layer would leave a logarithmic axis without ends, and the figure would be infinitely high."""
    (board,) = boards_of([record(None, 100.0, task="ptb"), record(8, 120.0, task="ptb")])
    assert 100 < float(vl_convert.vegalite_to_svg(figure(board, ["svd"])).split('height="')[1].split('"')[0]) < 1000


@pytest.mark.parametrize(
    ("key", "values", "label"), [("megabytes", (0.5, 2.0), "0.8"), ("parameters", (5e5, 2e6), "1M")]
)
def test_small_numbers_are_not_shortened(key: str, values: tuple[float, float], label: str) -> None:
    """Eight tenths of a megabyte would be 800m."""
    (board,) = boards_of(_records("sst", "svd"))
    labels = {item.get("text") for _, item in _drawn(board, key, [points(board)[0] | {key: one} for one in values])}
    assert label in labels


def test_an_outlier_leaves_the_others_apart() -> None:
    """Perplexities have a logarithmic axis."""
    (board,) = boards_of([record(rank, score, task="ptb") for rank, score in ((None, 100.0), (8, 120.0), (4, 9000.0))])
    heights = [item["y"] for item in _of(_items(figure(board, ["svd"])), "concat_1_layer_3_marks")]
    assert len(heights) == 3 and max(heights) - sorted(heights)[1] > 10


@pytest.mark.slow
@pytest.mark.parametrize("task", ["sst", "ptb"])
def test_an_outlier_is_at_the_edge(task: str) -> None:
    """A collapsed score leaves the axis to the others, whose heights spread over most of it."""
    scores = [0.40 + rank / 500 for rank in range(1, 10)] if task == "sst" else [100.0 + rank for rank in range(1, 10)]
    outlier = 0.02 if task == "sst" else 90000.0
    records = [record(rank, score, task=task) for rank, score in enumerate([*scores, outlier], start=1)]
    items = _drawn(boards_of(records)[0], "parameters", points(boards_of(records)[0]))
    heights = {item["description"]: item["y"] for item in _of(items, "layer_3_marks")}
    last = heights.pop("svd all rank 10")
    assert np.ptp(list(heights.values())) > 100 and abs(last) < 1000
    assert last > max(heights.values()) if task == "sst" else last < min(heights.values())


@pytest.mark.slow
def test_both_themes(tmp_path: Path) -> None:
    """The dark figure differs from the light one in the colours of ink and background alone."""
    write_figures(boards_of(_records("ptb", "svd")), tmp_path)
    light, dark = ((tmp_path / f"board-ptb-{theme}.svg").read_text(encoding="utf-8") for theme in THEMES)
    for ours, theirs in zip(THEMES["light"], THEMES["dark"], strict=True):
        assert ours in light and ours not in dark
        light = light.replace(f'"{ours}"', f'"{theirs}"')
    assert light == dark


_LIMITED = """
import resource, sys
from elmo_mf.errors import InputError
from elmo_mf.leaderboard._vega import draw
hard = 8_000_000_000 if sys.argv[1] == "hard" else resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (8_000_000_000, hard))
try:
    print(draw([{"data": {"values": [{"a": 1}]}, "mark": "point"}])[0][:4])
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(("limit", "printed"), [("soft", "<svg"), ("hard", "figures: vl-convert ended with status ")])
def test_limited_addresses(limit: str, printed: str) -> None:
    done = subprocess.run([sys.executable, "-c", _LIMITED, limit], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.startswith(printed) and len(done.stdout.splitlines()) == 1 and "Traceback" not in done.stderr
