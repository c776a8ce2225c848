"""Repeated timing of recorded runs trains nothing and changes only the times in records."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.errors import InputError
from elmo_mf.experiments import Progress, Result, Work, run_sweep, workspace
from elmo_mf.records import Retimed, Run, read_record
from elmo_mf.records.store import RecordStore
from elmo_mf.tasks import RetimedRecords, SweepSpec, TimingWork, expand, picked
from elmo_mf.tasks._measurement import measure_times
from elmo_mf.tasks.grid import same_form
from tests.sweeps import SweepOutcome, SweepView, TinySweep, executor_here, records_here
from tests.tasks.test_language_model import SMALL

pytestmark = pytest.mark.slow


_SHORT: dict[str, Any] = {"ptb": SMALL} | {task: {"trainer.num_epochs": 1} for task in ("sst", "squad")}


@pytest.fixture
def tiny_sweep(tiny_sweep: TinySweep) -> TinySweep:
    """Measure times in the sweeps of this module."""
    return partial(tiny_sweep, latency_sentences=2)


class _Phases(SweepView):
    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = {}

    def progress(self, run: Run, progress: Progress) -> None:
        phases = self.seen.setdefault(str(run), [])
        phases += [progress.phase] if progress.phase not in phases else []


def _retime(
    spec: SweepSpec, output: Path, choice: str, work: Work[Retimed] | None = None
) -> tuple[list[SweepOutcome], _Phases]:
    phases, store = _Phases(), RetimedRecords(RecordStore(output), picked(choice, spec, 1))
    executor = executor_here(work or TimingWork(spec), output)
    return run_sweep(expand(spec), output, executor, store, phases, remember_failures=False), phases


def _elsewhere(output: Path, **machine: object) -> dict[str, dict[str, Any]]:
    """Rewrite the records as if they came from another machine, and return them by file name."""
    records = {}
    for path in sorted((output / "records").glob("*.json")):
        record = json.loads(path.read_text())
        record["machine"] |= machine
        path.write_text(json.dumps(record))
        records[path.name] = record
    return records


@pytest.mark.parametrize("task", ["sst", "squad", "ptb"])
def test_times_are_new_and_the_rest_is_kept(task: str, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    out, spec = tmp_path / "out", tiny_sweep(tasks=[task], targets=["all"], overrides=_SHORT)
    records_here(spec, out)
    before = _elsewhere(out, cpu="another")
    _, phases = _retime(spec, out, "stale")
    assert all("training" not in seen and seen[-1] == "measuring" for seen in phases.seen.values())
    assert len(phases.seen) == len(before) == 2
    for name, old in before.items():
        new = json.loads((out / "records" / name).read_text())
        timed, latency = new.pop("timed"), new.pop("latency")
        assert timed["machine"] == old["machine"] | {"cpu": timed["machine"]["cpu"]}
        assert timed["machine"]["cpu"] != "another" and timed["versions"] == old["versions"]
        assert new == {key: value for key, value in old.items() if key != "latency"}
        for part in ("encoder", "model"):
            for batch in ("1", "32"):
                assert latency[part][batch].keys() == old["latency"][part][batch].keys()
                assert latency[part][batch] != old["latency"][part][batch]


def test_stale_is_what_was_timed_elsewhere(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    out, spec = tmp_path / "out", tiny_sweep(methods=[])
    records_here(spec, out)
    (path,) = (out / "records").glob("*.json")
    # times measured again are from this machine, wherever the scores are from
    for machine, again in (({}, False), ({"threads": 2}, True), ({"instructions": "none"}, False)):
        _elsewhere(out, **machine)
        before = path.read_bytes()
        _, phases = _retime(spec, out, "stale")
        assert bool(phases.seen) == again and (path.read_bytes() != before) == again
    record = read_record(path)
    assert picked("stale", spec, 2)(record) and not picked("stale", spec, 1)(record)
    gpu = record.timing.model_copy(update={"machine": record.machine.model_copy(update={"gpu": "one"})})
    assert picked("stale", spec, 1)(record.model_copy(update={"timed": gpu}))
    elsewhere = tiny_sweep(methods=[], overrides={"sst": {"trainer.cuda_device": 99}})
    with pytest.raises(InputError, match=r"trainer.cuda_device: found 99"):
        picked("stale", elsewhere, 1)(record)
    assert _retime(spec, out, "all")[1].seen
    with pytest.raises(InputError, match=r"^retime: found 'stales'"):
        picked("stales", spec, 1)


def test_times_that_were_not_measured_are_stale(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    out, spec = tmp_path / "out", tiny_sweep(methods=[])
    untimed = tiny_sweep(methods=[], latency_sentences=0)
    records_here(untimed, out)
    (path,) = (out / "records").glob("*.json")
    before = read_record(path)
    assert before.latency is None and before.size is not None
    with pytest.raises(InputError, match=r"^latency_sentences: found 0"):
        picked("stale", untimed, 1)
    _retime(spec, out, "stale")
    after = read_record(path)
    assert after.latency is not None and not picked("stale", spec, 1)(after)
    assert after.model_copy(update={"latency": None, "timed": None}) == before


def test_a_failure_leaves_the_record(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """A failure is not remembered, so the same command measures again."""
    out, spec = tmp_path / "out", tiny_sweep(methods=[])
    records_here(spec, out)
    (path,) = (out / "records").glob("*.json")
    before = path.read_bytes()
    (outcome,), _ = _retime(spec, out, "all", _failing)
    assert outcome.error == "no time" and outcome.again and outcome.log is not None
    assert path.read_bytes() == before
    (outcome,), phases = _retime(spec, out, "all")
    assert not outcome.error and phases.seen and not outcome.again
    assert not list((out / "failed").glob("*"))


def test_a_record_that_went_is_a_failure(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """Times without a record are not stored."""
    out, spec = tmp_path / "out", tiny_sweep(methods=[])
    (outcome,), _ = _retime(spec, out, "all")
    assert "no such record, expected one to update" in outcome.error
    assert not RecordStore(out).records()


_BUDGET = {"budget": {"share": 0.3}}
_DISTILL = {"distill": {"text": "gone.txt", "steps": 2}}


@pytest.mark.parametrize(
    ("task", "keys", "before", "same"),
    [
        ("sst", {"method": "svd", "rank": 2}, "encoder data", True),
        ("sst", {"method": "svd", "rank": 2} | _DISTILL, "encoder data", False),
        ("sst", {"method": "svd"} | _BUDGET | _DISTILL, "encoder data", False),
        ("sst", {"method": "fisher_svd", "rank": 2}, "encoder data", False),
        ("sst", {"method": "fisher_svd"} | _BUDGET, "encoder data activations training scoring gradients", True),
        ("ptb", {"method": "fisher_svd", "rank": 2}, "data encoder", False),
        ("ptb", {"method": "svd", "rank": 2, "finetune": {"epochs": 1}}, "data encoder", False),
        ("ptb", {"method": "svd"} | _BUDGET, "data training encoder", True),
    ],
)
def test_only_a_budget_needs_values(
    task: str,
    keys: dict[str, Any],
    before: str,
    same: bool,
    tiny_sweep: TinySweep,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only ranks within a budget depend on values, so nothing else is trained for timing."""
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "gone.txt"
    text.write_text("a text\n")
    compressions = [{"targets": "all", **keys}]
    run = expand(tiny_sweep(tasks=[task], methods=[], compressions=compressions, overrides=_SHORT))[-1]
    spec = tiny_sweep(tasks=[task], overrides=_SHORT)
    text.unlink()
    phases: list[str] = []
    with workspace(tmp_path / "out", report=lambda progress: phases.append(progress.phase)) as work:
        retimed = measure_times(spec, run, work)
    assert list(dict.fromkeys(phases)) == [*before.split(), "measuring"]
    assert retimed.latency.encoder["1"].median_ms > 0 and retimed.timed.machine.threads > 0
    assert (same_form(run).id == run.id) == same


def _failing(*_: object) -> Result[Retimed]:
    return Result(error="no time", log="a log")
