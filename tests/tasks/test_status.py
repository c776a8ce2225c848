"""Status of a sweep: states of its runs, estimates and costs."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from elmo_mf.experiments import Failures, Leases, Progress
from elmo_mf.records.run import Run
from elmo_mf.records.store import RecordStore
from elmo_mf.sentiment_trees import phrases
from elmo_mf.tasks import SweepSpec, cost_of, expand, load_task, status_of
from elmo_mf.tasks._status import Cost, seconds_of
from tests.records.samples import measurements, record


def _spec(**keys: Any) -> SweepSpec:
    return SweepSpec.from_file(None, **({"tasks": ["sst"], "methods": [], "seeds": [1, 2, 3, 4]} | keys))


def _write(output: Path, run: Run, seconds: float, train: int = 400) -> None:
    values = record(None, 0.4, seconds=seconds, examples={"train": train, "validation": 9, "test": 9})
    if run.task != "sst":
        values |= {"scores": {run.primary: 0.4}, "elmo": None}
    RecordStore(output).write(run, measurements(values))


def test_each_run_is_in_one_place(tmp_path: Path) -> None:
    spec = _spec()
    runs = expand(spec)
    _write(tmp_path, runs[0], 60.0)
    lease = Leases(tmp_path).acquire(runs[1])
    assert lease is not None
    lease.beat(Progress("training", 0.25))
    Failures(tmp_path).write(runs[2], "ValueError: no", "log")
    (tmp_path / "records" / "broken.json").write_text("{")
    status = status_of(spec, runs, tmp_path)
    assert status.recorded == [runs[0]] and status.left == [runs[3]]
    assert [(run, one.phase, one.share) for run, one in status.running] == [(runs[1], "training", 0.25)]
    assert [(run, failure.error) for run, failure in status.failed] == [(runs[2], "ValueError: no")]
    assert status.seconds_left == 120.0 and len(status.problems) == 1
    lease.release()
    assert status_of(spec, runs, tmp_path).left == [runs[1], runs[3]]
    assert (tmp_path / "records" / "broken.json").exists()  # the status changes nothing


def test_a_stale_lease_is_free(tmp_path: Path) -> None:
    (run,) = expand(_spec(seeds=[1]))
    folder = tmp_path / "running"
    folder.mkdir()
    (folder / f"{run.name}.lock").write_text('{"pid": 1}')
    assert Leases(tmp_path).of(run) is None and Leases(tmp_path).acquire(run) is not None


def test_estimates(tmp_path: Path) -> None:
    """Estimates use runs with the same settings, else those of the task in proportion to examples and epochs."""
    spec = _spec()
    runs = expand(spec)
    assert seconds_of(spec, runs, []) == (0, ["sst"])
    _write(tmp_path, runs[0], 50.0)
    _write(tmp_path, runs[1], 70.0)
    records = RecordStore(tmp_path).records()
    assert seconds_of(spec, runs[2:], records) == (120.0, [])
    assert seconds_of(spec, [], records) == (0, [])
    epochs = runs[0].identity.to_dict()["config"]["trainer"]["num_epochs"]
    half = _spec(limit={"train": 200}, overrides={"sst": {"trainer.num_epochs": 3 * epochs}})  # instead of 400 examples
    assert round(seconds_of(half, expand(half), records)[0]) == 4 * 60 // 2 * 3
    assert cost_of(half, expand(half)) == Cost(4, 4 * 200 * 3 * epochs, 0)
    trees = [one.raw for one in load_task("sst").format.read(load_task("sst").demo_data / "train.txt")]
    phrased = _spec(overrides={"sst": {"dataset_reader": {"type": "sst_phrases", "min_words": 4}}})
    read = cost_of(phrased, expand(phrased)).examples
    assert read == 4 * epochs * sum(1 for _ in phrases(trees, 4)) > 4 * epochs * 400
    other = _spec(tasks=["sst", "snli"])
    assert seconds_of(other, expand(other), records) == (240.0, ["snli"])


def test_language_models_are_trained_once_a_seed(tmp_path: Path) -> None:
    """Dense, compressed and fine-tuned runs are therefore estimated separately."""
    tuned = {"method": "svd", "rank": 2, "targets": "all", "finetune": {"epochs": 3}}
    spec = _spec(tasks=["ptb"], methods=["svd"], seeds=[1, 2], ranks=[2, 4], limit=50, compressions=[tuned])
    runs = expand(spec)
    assert len(runs) == 2 * (2 + 2 + 1)
    epochs = runs[0].identity.to_dict()["config"]["trainer"]["num_epochs"]
    assert cost_of(spec, runs) == Cost(2 + 4, 50 * (2 * epochs + 4 * 3), 6)
    first = [run for run in runs if run.seed == 1]
    for run, seconds in zip(first, (900.0, 40.0, 10.0, 10.0, 30.0), strict=True):
        _write(tmp_path, run, seconds)
    records = RecordStore(tmp_path).records()
    assert seconds_of(spec, [run for run in runs if run.seed == 2], records) == (990.0, [])


def test_heartbeats(tmp_path: Path) -> None:
    (run,) = expand(_spec(seeds=[1]))
    lease = Leases(tmp_path).acquire(run)
    assert lease is not None and Leases(tmp_path).acquire(run) is None
    lease.beat(Progress("training", 0.5, 1.25))
    heartbeat = Leases(tmp_path).of(run)
    assert heartbeat is not None and (heartbeat.phase, heartbeat.share, heartbeat.loss) == ("training", 0.5, 1.25)
    assert (heartbeat.host, heartbeat.pid) == (platform.node(), os.getpid())
