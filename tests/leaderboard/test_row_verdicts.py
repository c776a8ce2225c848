"""Tests of boards whose records have outputs for each example, from files to verdicts."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from elmo_mf.escape import markdown
from elmo_mf.leaderboard import Board, boards, outputs_of, records_of, table
from elmo_mf.leaderboard._headline import in_short
from elmo_mf.leaderboard._recommend import recommendations
from elmo_mf.leaderboard._table import columns, evidence
from elmo_mf.leaderboard._use import use_of
from elmo_mf.leaderboard.aggregate import ReadOutputs, Row
from elmo_mf.leaderboard.readme import remarks, summary
from elmo_mf.records.outputs import Outputs, SplitOutputs
from elmo_mf.records.packed import Records
from tests.records.samples import boards_of, parsed, record, signed

_EXAMPLES = 2210
_Entry = tuple[dict[str, Any], Outputs]


class _Task:
    """A simulated task, whose examples are hard or easy for all encoders alike."""

    def __init__(self, seed: int = 0, clusters: bool = False) -> None:
        self._rng = np.random.default_rng(seed)
        self._ease = {split: self._rng.uniform(size=_EXAMPLES) for split in ("validation", "test")}
        self._cluster = np.arange(_EXAMPLES, dtype=np.float32) // 100 if clusters else None

    def entry(self, rank: int | None, accuracy: float, seed: int = 1, **changes: Any) -> _Entry:
        """Build a record of about an accuracy, and its outputs; a few examples change with each run."""
        splits: dict[Any, SplitOutputs] = {}
        for split, ease in self._ease.items():
            right = (ease < accuracy) ^ (self._rng.uniform(size=_EXAMPLES) < 0.01)
            splits[split] = SplitOutputs(right.astype(np.float32), cluster=self._cluster)
        means = {split: float(one.score.mean()) for split, one in splits.items()}
        run = changes.pop("run", {})
        made = record(rank, means["test"], seed, validation={"accuracy": means["validation"]}, **changes)
        made["run"] |= run
        return signed(made), Outputs(splits)


def _written(folder: Path, *entries: _Entry) -> tuple[Records, ReadOutputs]:
    """Write records with their outputs, and return what boards are built from."""
    (folder / "records").mkdir(parents=True)
    for entry, outputs in entries:
        content = outputs.to_bytes()
        made = copy.deepcopy(entry) | {"outputs": {"sha256": hashlib.sha256(content).hexdigest()}}
        path = folder / "records" / parsed(made).file_name
        path.write_text(json.dumps(made), encoding="utf-8")
        path.with_suffix(".npz").write_bytes(content)
    return records_of(folder), outputs_of(folder)


def _board(folder: Path, *entries: _Entry, margin: float = 1.0) -> Board:
    """Write records with their outputs, and build their board."""
    (board,) = boards(*_written(folder, *entries), margin)
    return board


def _row(board: Board, name: str) -> Row:
    return next(row for row in board.rows if row.encoder == name)


def _baseline(simulated: _Task, name: str, accuracy: float, seed: int = 1, **changes: Any) -> _Entry:
    entry, outputs = simulated.entry(None, accuracy, seed, run={"baseline": name}, **changes)
    if name in ("no-encoder", "words"):
        entry["elmo"] = None
        del entry["run"]["elmo"]
    return signed(entry), outputs


def _encoders(task: _Task, accuracies: dict[int | None, float], seeds: int) -> list[_Entry]:
    return [task.entry(rank, one, seed) for rank, one in accuracies.items() for seed in range(1, seeds + 1)]


@pytest.mark.parametrize("seeds", [1, 4])
def test_verdicts_by_example(tmp_path: Path, seeds: int) -> None:
    """Of a deterministic probe one run is enough."""
    task = _Task()
    entries = _encoders(task, {None: 0.70, 16: 0.70, 8: 0.60, 4: 0.74}, seeds)
    if seeds == 1:
        entries = [(entry | {"epochs": 0}, outputs) for entry, outputs in entries]
    board = _board(tmp_path, *entries)
    found = {row.encoder: row.verdict for row in board.rows}
    assert found == {
        "dense": "", "svd all rank 16": "equivalent", "svd all rank 8": "worse", "svd all rank 4": "better",
    }  # fmt: skip
    row = _row(board, "svd all rank 8")
    assert row.examples == _EXAMPLES and evidence(row, board) == f"{seeds} seed{'s' * (seeds > 1)} x 2,210"
    tests = row.difference - row.low
    assert 0.01 < tests < 0.02  # of 10 % of the examples, on which they differ, with one seed or more


def test_a_margin_decides(tmp_path: Path) -> None:
    task = _Task()
    board = _board(tmp_path, *_encoders(task, {None: 0.70, 8: 0.66}, 3), margin=8)
    assert _row(board, "svd all rank 8").verdict == "equivalent" and "margin of 8 points" in remarks(board)


def test_one_seed_of_a_trained_model_decides_nothing(tmp_path: Path) -> None:
    """Its interval is over the examples, and what is needed is more seeds."""
    board = _board(tmp_path, *_encoders(_Task(), {None: 0.70, 8: 0.60}, 1))
    row = _row(board, "svd all rank 8")
    assert (row.verdict, row.needs) == ("undecided", "more seeds") and row.high < 0


def test_documents_take_the_place_of_examples(tmp_path: Path) -> None:
    board = _board(tmp_path, *_encoders(_Task(clusters=True), {None: 0.70, 8: 0.60}, 3))
    assert _row(board, "svd all rank 8").examples == 23


def test_outputs_that_are_not_the_records(tmp_path: Path) -> None:
    """They are left out with a warning, and the seeds alone count."""
    entries = _encoders(_Task(), {None: 0.70, 8: 0.60}, 3)
    _board(tmp_path, *entries)
    path = next((tmp_path / "records").glob("*rank-8*.npz"))
    path.write_bytes(b"other")
    with pytest.warns(UserWarning, match="found SHA-256 .*; left out"):
        (board,) = boards(records_of(tmp_path), outputs_of(tmp_path))
    assert _row(board, "svd all rank 8").examples == 0


def test_collapsed_runs_are_counted_and_not_averaged(tmp_path: Path) -> None:
    task = _Task()
    entries = _encoders(task, {None: 0.70, 8: 0.70}, 4)
    healthy = _row(_board(tmp_path / "a", *entries), "svd all rank 8")
    entries += [task.entry(8, 0.2, 5, collapsed=True, collapsed_attempts=1), task.entry(None, 0.7, 5)]
    board = _board(tmp_path / "b", *entries)
    row = _row(board, "svd all rank 8")
    assert (row.score, row.difference, row.low, row.seeds) == pytest.approx(
        (healthy.score, healthy.difference, healthy.low, 4)
    )
    assert row.collapsed == 2 and evidence(row, board).endswith("; 2 of 6 runs collapsed")


def test_an_encoder_of_collapsed_runs_alone(tmp_path: Path) -> None:
    task = _Task()
    board = _board(tmp_path, *_encoders(task, {None: 0.7}, 3), task.entry(8, 0.2, 1, collapsed=True))
    row = _row(board, "svd all rank 8")
    assert np.isnan(row.score) and (row.verdict, row.pareto_front) == ("", False)
    assert list(table(board)["accuracy %"])[-1] == "collapsed"


def _trusted(folder: Path, baselines: dict[str, float], seeds: int = 3) -> Board:
    task = _Task()
    entries = _encoders(task, {None: 0.70, 8: 0.69, 4: 0.65}, seeds)
    entries += [
        _baseline(task, name, accuracy, seed)
        for name, accuracy in baselines.items()
        for seed in range(1, (2 if name == "words" else seeds + 1))
    ]
    return _board(folder, *entries)


@pytest.mark.parametrize(
    ("baselines", "decides", "remark"),
    [
        ({}, True, "Baselines were not run, so no encoder is recommended."),
        ({"words": 0.5}, True, "Dense beats every baseline. No encoder of shuffled weights was run."),
        ({"words": 0.5, "shuffled": 0.4}, True, "Dense beats every baseline; it is "),
        ({"smaller": 0.72}, True, "Baselines were not run, so no encoder is recommended."),
        ({"smaller": 0.72, "shuffled": 0.4}, True, "Dense beats every baseline; it is "),
        ({"words": 0.72, "shuffled": 0.4}, False, "No verdicts: dense (69.5) is not shown to beat words alone (7"),
        ({"words": 0.695, "shuffled": 0.4}, False, "No verdicts: dense (69.5) is not shown to beat words alone (6"),
        ({"token-layer": 0.5, "shuffled": 0.64}, False, "No verdicts: dense is only "),
    ],
)
def test_tables_without_verdicts(tmp_path: Path, baselines: dict[str, float], decides: bool, remark: str) -> None:
    """A table says in its first line what its baselines are worth, and gives verdicts only if it can."""
    board = _trusted(tmp_path, baselines)
    assert board.trust.decides == decides and board.trust.remark.startswith(remark)
    assert remarks(board).startswith(remark if decides else f"**{remark}")
    assert any(row.verdict for row in board.rows) == decides
    assert not any(row.verdict for row in board.rows if row.is_baseline or row.encoder == "dense")
    assert [row.is_baseline for row in board.rows] == [False] * 3 + [True] * len(baselines)
    if not decides:
        assert list(table(board)["verdict"])[1:3] == ["—", "—"]
    assert not any(row.pareto_front or row.recommended for row in board.rows if row.is_baseline)


def test_nothing_is_recommended_before_a_model_without_an_elmo_was_run(tmp_path: Path) -> None:
    """Words alone say little of what a task's model makes of word vectors."""
    lacking = _trusted(tmp_path / "lacking", {"words": 0.5, "shuffled": 0.4})
    complete = _trusted(tmp_path / "complete", {"words": 0.5, "shuffled": 0.4, "no-encoder": 0.5})
    assert lacking.trust.decides and complete.trust.decides and complete.trust.recommends
    assert not lacking.trust.recommends and not any(row.recommended for row in lacking.rows)
    assert "No model without an ELMo was run" in lacking.trust.remark


def test_perplexities_of_shuffled_weights_are_far_in_nats() -> None:
    """The difference of a small and a huge perplexity would be that of the huge one alone."""
    scores = {None: 100.0, 8: 110.0}
    records = [
        record(rank, score + seed * score / 100, seed, "ptb", chance=1e9)
        for rank, score in scores.items()
        for seed in (1, 2, 3)
    ]
    for one in [record(None, 1e6 + seed, seed, "ptb", chance=1e9) for seed in (1, 2, 3)]:
        one["run"]["baseline"] = "shuffled"
        records.append(one)
    (board,) = boards_of(records)
    assert board.trust.decides and "it is 9.1" in board.trust.remark and " nats better" in board.trust.remark
    assert "perplexity" not in board.trust.remark


def test_one_seed_of_a_model_without_an_elmo_is_not_beaten(tmp_path: Path) -> None:
    """Models that are trained apart differ between seeds, of which one says nothing."""
    task = _Task()
    entries = _encoders(task, {None: 0.70, 8: 0.69}, 3)
    one = _board(tmp_path / "one", *entries, _baseline(task, "no-encoder", 0.5))
    three = _board(tmp_path / "three", *entries, *(_baseline(task, "no-encoder", 0.5, seed) for seed in (1, 2, 3)))
    assert not one.trust.decides and "is not shown to beat no ELMo" in one.trust.remark
    assert three.trust.decides


@pytest.mark.parametrize("retrained", [False, True])
def test_baselines_are_shown_with_every_view(tmp_path: Path, retrained: bool) -> None:
    """Except shuffled weights, which have views; alone, they have a board of their own."""
    task, swapped = _Task(), {"view": "swapped"}
    entries = [task.entry(rank, 0.7, seed, run=swapped) for rank in (None, 8) for seed in (1, 2, 3)]
    entries += [task.entry(None, 0.7, seed) for seed in (1, 2, 3) if retrained]
    entries += [_baseline(task, "shuffled", 0.4)] if retrained else []
    baselines = [_baseline(task, "no-encoder", 0.6), _baseline(task, "words", 0.5)]
    written = _written(tmp_path, *baselines, *entries)
    found = {board.first.run.view: [row.encoder for row in board.rows] for board in boards(*written)}
    shown = ["no ELMo", "words alone"]
    assert sorted(found) == ["retrained"] * retrained + ["swapped"]
    assert sorted(found["swapped"][:2]) == ["dense", "svd all rank 8"] and found["swapped"][2:] == shown
    assert not retrained or found["retrained"] == ["dense", *shown, "shuffled weights"]
    (alone,) = boards(*_written(tmp_path / "alone", *baselines))
    assert [row.encoder for row in alone.rows] == shown


def test_baselines_without_an_elmo_are_on_the_boards_of_all(tmp_path: Path) -> None:
    task, other = _Task(), {"elmo": {"options": "another", "weights": "another"}}
    entries = [task.entry(None, 0.7), task.entry(None, 0.7, run=other), _baseline(task, "token-layer", 0.5)]
    entries += [_baseline(task, "no-encoder", 0.6), _baseline(task, "words", 0.5)]
    found = boards(*_written(tmp_path, *entries))
    shown = [[row.encoder for row in board.rows] for board in found]
    assert sorted(shown, key=len) == [
        ["dense", "no ELMo", "words alone"], ["dense", "no ELMo", "token layer alone", "words alone"]
    ]  # fmt: skip


def test_a_baseline_of_words_is_compared_with_every_seed(tmp_path: Path) -> None:
    board = _trusted(tmp_path, {"words": 0.5}, seeds=4)
    row, dense = _row(board, "words alone"), _row(board, "dense")
    assert row.difference == pytest.approx(row.score - dense.score) and row.examples == _EXAMPLES


def test_cross_entropy_is_compared_example_by_example(tmp_path: Path) -> None:
    """Where every run has likelihoods; the interval of one seed is that of a paired t-test over examples."""
    task, rng = _Task(), np.random.default_rng(0)
    losses = {rank: rng.normal(1.0, 1.0, _EXAMPLES).astype(np.float32) for rank in (None, 8, 4)}
    losses[8] = losses[None] + rng.normal(0.02, 0.1, _EXAMPLES).astype(np.float32)
    entries = []
    for rank, loss in losses.items():
        entry, outputs = task.entry(rank, 0.7)
        known = {} if rank == 4 else {"log_likelihood": -loss}
        splits = {split: replace(one, **known) for split, one in outputs.splits.items()}
        entries.append((entry, Outputs(splits)))
    board = _board(tmp_path, *entries)
    row, unknown = _row(board, "svd all rank 8"), _row(board, "svd all rank 4")
    low, high = stats.ttest_rel(losses[8], losses[None]).confidence_interval(0.95)
    assert (row.nats, row.nats_low, row.nats_high) == pytest.approx(((low + high) / 2, low, high), rel=1e-3)
    assert np.isnan(unknown.nats) and not np.isnan(unknown.difference)
    (texts,) = (column.texts for column in columns(board) if column.title == "nats vs dense")
    assert texts[[one.encoder for one in board.rows].index("svd all rank 8")].startswith(f"{row.nats:+.4f} [")


def test_boards_that_recommend_come_first_and_those_without_verdicts_last(tmp_path: Path) -> None:
    simulated, entries = _Task(), []
    for task, words in (("snli", 0.72), ("sst", 0.5)):
        entries += [simulated.entry(rank, 0.7, seed, task=task) for rank in (None, 8) for seed in (1, 2, 3)]
        entries += [_baseline(simulated, "no-encoder", 0.5, seed, task=task) for seed in (1, 2, 3)]
        entries.append(_baseline(simulated, "words", words, task=task))
    ordered = boards(*_written(tmp_path, *entries), 2)
    assert [board.task for board in ordered] == ["sst", "snli"]
    assert [board.has_recommendation for board in ordered] == [True, False]
    assert [board.trust.decides for board in ordered] == [True, False]
    first, second = ordered
    text = summary(ordered)
    assert f"**Take** `svd all rank 8` ({_facts(first)}): the fastest encoder" in text
    assert f"in *{first.title}*. 1 of 2 tables recommend an encoder" in text and "1 table gives no verdicts" in text
    assert text.count("<picture>") == 1 and f"board-{first.name}-light.svg" in text
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in text.splitlines() if line.startswith("| The")]
    assert rows == [[first.title, "`svd all rank 8`"], [second.title, markdown(second.trust.remark)]]


def _facts(board: Board) -> str:
    """What the sentence on a board says of the encoder that it recommends."""
    return in_short(board).partition(" (")[2].rpartition("): the fastest")[0]


def test_without_a_recommendation_no_figure_leads(tmp_path: Path) -> None:
    task = _Task()
    entries = [
        task.entry(rank, 0.7, seed, task=name) for name in ("snli", "sst") for rank in (None, 8) for seed in (1, 2)
    ]
    text = summary(boards(*_written(tmp_path, *entries)))
    assert "No table recommends an encoder." in text and "<picture>" not in text and "**Take**" not in text


def test_what_is_taken_is_the_fastest_that_is_not_inferior(tmp_path: Path) -> None:
    task = _Task()
    entries = _encoders(task, {None: 0.70, 16: 0.70, 8: 0.70, 4: 0.60}, 4)
    for entry, _ in entries:
        compression = entry["run"]["compression"]
        milliseconds = 9.0 if compression is None else float(compression["rank"])
        entry["latency"]["encoder"]["32"]["median_ms"] = milliseconds
    unchecked = _board(tmp_path / "unchecked", *entries, margin=2)
    assert not any(row.recommended for row in unchecked.rows) and "nothing to recommend" in in_short(unchecked)
    entries += [_baseline(task, "no-encoder", 0.40, seed) for seed in (1, 2, 3)]
    board = _board(tmp_path / "checked", *entries, margin=2)
    assert [row.encoder for row in board.rows if row.recommended] == ["svd all rank 8"]
    assert {row.encoder for row in board.rows if row.not_inferior} == {"svd all rank 8", "svd all rank 16"}
    assert recommendations(unchecked) == []
    chosen = {one.aim: one for one in recommendations(board)}
    assert list(chosen) == ["safe", "small", "fast"]
    assert chosen["safe"].row == max(
        (row for row in board.rows if row.not_inferior), key=lambda row: -row.validation_change
    )
    assert chosen["fast"].row.encoder == "svd all rank 8"
    options = "--method svd --targets all --rank 8"
    assert chosen["fast"].use == f"elmo-mf compress options.json weights.hdf5 {options} --out small"
    entry, _ = task.entry(8, 0.70, run={"task_gradients": True})
    row = replace(chosen["fast"].row, identity=parsed(entry).run.encoder)
    gradients, compress = use_of(row, board).split(" && ")
    files = "--options options.json --weights weights.hdf5"
    assert gradients == f"elmo-mf gradients {board.task} gradients.hdf5 --data data {files}"
    assert compress == f"elmo-mf compress options.json weights.hdf5 {options} --gradients gradients.hdf5 --out small"


@pytest.mark.parametrize("part", [{"layers": [0]}, {"directions": ["forward"]}])
def test_what_is_compressed_in_part_is_not_recommended(part: dict[str, Any], tmp_path: Path) -> None:
    """Such encoders are there to be compared with each other, and they save little."""
    task = _Task()
    entries = _encoders(task, {None: 0.70, 16: 0.70, 8: 0.70}, 4)
    for entry, _ in entries:
        rank = (entry["run"]["compression"] or {}).get("rank", 32)
        entry["latency"]["encoder"]["32"]["median_ms"] = float(rank)
        if rank == 8:
            entry["run"]["compression"] |= part
    entries = [(signed(entry), outputs) for entry, outputs in entries]
    entries += [_baseline(task, "no-encoder", 0.40, seed) for seed in (1, 2, 3)]
    board = _board(tmp_path, *entries, margin=2)
    assert len([row for row in board.rows if row.not_inferior]) == 2
    assert [row.encoder for row in board.rows if row.recommended] == ["svd all rank 16"]
    assert {one.row.encoder for one in recommendations(board)} == {"svd all rank 16"}


def test_commands_name_files_of_which_records_have_the_hashes(tmp_path: Path) -> None:
    task = _Task()
    by_loss = {"method": "kfac_svd", "gradients": "a" * 64, "calibration": "b" * 64}
    distilled = {"method": "whitened_svd", "distill": {"text": "c" * 64, "steps": 9}}
    runs = ({"compression": {"rank": 8, "targets": ["input"]} | keys} for keys in (by_loss, distilled))
    compressed = [task.entry(8, 0.68, run=run) for run in runs]
    board = _board(tmp_path, *_encoders(task, {None: 0.70}, 1), *compressed)
    uses = {row.method: use_of(row, board) for row in board.rows if row.compression is not None}
    gradients, compress = uses["kfac_svd"].split(" && ")
    files = "--data data --options options.json --weights weights.hdf5"
    assert gradients == f"elmo-mf gradients wikitext2-bilm gradients.hdf5 {files}"
    assert "--calibration text.txt --gradients gradients.hdf5 --out small" in compress
    assert "--distill text.txt --distill-steps 9" in uses["whitened_svd"]
    assert not any(64 * letter in use for use in uses.values() for letter in "abc")


def test_int8_is_judged_like_a_compressed_encoder(tmp_path: Path) -> None:
    task = _Task()
    entries = _encoders(task, {None: 0.70}, 3)
    entries += [task.entry(None, 0.70, seed, run={"precision": "int8"}) for seed in (1, 2, 3)]
    row = _row(_board(tmp_path, *entries), "dense in int8")
    assert (row.verdict, row.compressed, row.method) == ("equivalent", True, "int8")
    entries += [_baseline(task, "no-encoder", 0.4, seed) for seed in (1, 2, 3)]
    (chosen, *_) = recommendations(_board(tmp_path / "checked", *entries, margin=2))
    rounded = "elmo-mf compress options.json weights.hdf5 --dtype int8 --out small"
    assert chosen.use == f"{rounded}  # then precision: 'int8'"
    entries += [task.entry(8, 0.70, seed, run={"precision": "int8"}) for seed in (1, 2, 3)]
    board = _board(tmp_path / "factors", *entries)
    factors = _row(board, "svd all rank 8 in int8")
    command = "elmo-mf compress options.json weights.hdf5 --method svd --targets all --rank 8"
    assert use_of(factors, board) == f"{command} --dtype int8 --out small  # then precision: 'int8'"
    entries += [task.entry(None, 0.70, seed, run={"precision": "int4"}) for seed in (1, 2, 3)]
    board = _board(tmp_path / "four bits", *entries)
    command = "elmo-mf compress options.json weights.hdf5 --dtype int4 --out small"
    assert use_of(_row(board, "dense in int4"), board) == f"{command}  # then precision: 'int8'"
