"""Real cells, trained by AllenNLP: their records, resuming, determinism, failures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.bilm import Bilm
from elmo_mf.factorize import Compression, size_report
from elmo_mf.harness.grid import SweepSpec, expand
from elmo_mf.harness.store import ResultStore
from elmo_mf.harness.sweep import Outcome, run_sweep
from elmo_mf.provenance import file_hash
from tests.harness.conftest import TinySweep


def _run(spec: SweepSpec, output: Path) -> list[dict[str, Any]]:
    outcomes = run_sweep(spec, expand(spec), output)
    assert [outcome.error for outcome in outcomes] == [None] * len(outcomes)
    return [outcome.record for outcome in outcomes if outcome.record]


@pytest.mark.parametrize("task", ["sst", "snli", "squad"])
def test_records(task: str, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = tiny_sweep(tasks=[task], latency_sentences=3)
    dense, compressed = _run(spec, tmp_path / "out")
    cells = expand(spec)
    assert [ResultStore(tmp_path / "out").has(cell) for cell in cells] == [True, True]
    assert set(compressed["scores"]) == set(cells[0].task.metrics)
    assert 0 <= compressed["scores"][cells[0].task.primary] <= 1 and 0 <= compressed["chance"] <= 1
    assert compressed["examples"] == dict.fromkeys(cells[0].task.files, 40)
    assert compressed["epochs"] == 2 and compressed["best_epoch"] in (1, 2)

    expected = Bilm.from_files(spec.options, spec.weights, Compression("svd", 2, "input+recurrent"))
    report = size_report(expected.weights(), expected.options).to_dict()
    assert compressed["size"] == report and dense["size"]["lstm_ratio"] == 1
    for part in ("encoder", "model"):
        for batch in ("1", "32"):
            assert dense["latency"][part][batch]["speed_up"] == 1
            times = compressed["latency"][part][batch]
            assert 0 < times["median_ms"] <= times["p95_ms"] and times["speed_up"] > 0

    assert compressed["cell"]["elmo"] == {"options": file_hash(spec.options), "weights": file_hash(spec.weights)}
    assert compressed["versions"]["allennlp"] == "2.10.1" and compressed["machine"]["threads"] >= 1
    assert str(tmp_path) not in json.dumps([dense, compressed])
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"records", "encoders"}


def test_the_same_command_gives_the_same_scores(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    first, second = (_run(tiny_sweep(), tmp_path / name) for name in ("a", "b"))
    assert [r["scores"] for r in first] == [r["scores"] for r in second]
    assert [r["validation"] for r in first] == [r["validation"] for r in second]


@pytest.mark.parametrize("task", ["sst", "snli", "squad"])
def test_the_cache_changes_no_score(task: str, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    cached, plain = (_run(tiny_sweep(tasks=[task], cache_mb=mb), tmp_path / str(mb)) for mb in (100, 0))
    for one, other in zip(cached, plain, strict=True):
        assert one["scores"] == pytest.approx(other["scores"], rel=1e-4)


def test_a_score_is_what_allennlp_evaluates(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """Train with the plain `allennlp` entry points on the cell's config; the same numbers come out."""
    from allennlp.commands.evaluate import evaluate_from_archive
    from allennlp.commands.train import train_model
    from allennlp.common import Params

    from elmo_mf.harness.grid import cell_config

    spec = tiny_sweep()
    cell = expand(spec)[1]
    record = _run(spec, tmp_path / "out")[1]
    data = str(spec.data_of(cell.task))
    config = cell_config(spec, cell.task, cell.identity["compression"], cell.seed, data, (spec.options, spec.weights))
    train_model(Params(config), str(tmp_path / "plain"))
    scores = evaluate_from_archive(tmp_path / "plain" / "model.tar.gz", f"{data}/{cell.task.files['test']}")
    assert record["scores"] == pytest.approx({name: scores[name] for name in record["scores"]}, rel=1e-4)


def test_limits_cut_the_data(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = tiny_sweep(limit={"train": 20, "test": 10}, ranks=[2])
    record = _run(spec, tmp_path / "out")[0]
    assert record["examples"] == {"train": 20, "validation": 40, "test": 10}


def test_a_failing_cell_stops_nothing(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """The first task cannot train; the second is recorded, and the log of the first is kept."""
    overrides = {"snli": {"model.encoder.input_size": 7}, "sst": {"trainer.num_epochs": 1}}
    spec = tiny_sweep(tasks=["snli", "sst"], overrides=overrides)
    output, seen = tmp_path / "out", list[str]()
    outcomes: list[Outcome] = run_sweep(spec, expand(spec), output, lambda cell: seen.append(cell.task.name))
    assert seen == ["snli", "snli", "sst", "sst"]
    assert [bool(outcome.error) for outcome in outcomes] == [True, True, False, False]
    assert outcomes[0].error and "\n" not in outcomes[0].error
    assert len(ResultStore(output).records()) == 2
    failed = sorted((output / "failed").iterdir())
    assert [folder.name for folder in failed] == sorted(o.cell.name for o in outcomes if o.error)
    assert "the cell failed" in (failed[0] / "out.log").read_text()
    assert "Traceback" in (failed[0] / "out.log").read_text()


def test_a_record_is_there_as_soon_as_its_cell_is_done(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec, counts = tiny_sweep(), []
    store = ResultStore(tmp_path / "out")
    run_sweep(spec, expand(spec), tmp_path / "out", done=lambda _: counts.append(len(store.records())))
    assert counts == [1, 2]
