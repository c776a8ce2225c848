"""Trackers: each run is logged once, and their failures stop nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from elmo_mf.cli.main import main
from elmo_mf.errors import InputError
from elmo_mf.experiments import Result, View, run_sweep
from elmo_mf.experiments.executors import Executor
from elmo_mf.records import Measurements, RecordStore, Run
from elmo_mf.tasks import SweepSpec, TrackedRecords, expand
from elmo_mf.trackers import RunLog, TrackedRun, Tracker, register, tracker_named
from elmo_mf.trackers.tracker import REGISTERED
from tests.records.samples import measurements, record

_RUN = TrackedRun("first", "a" * 64, {"rank": 4, "method": "svd", "dense": False})
_LINES = """
from elmo_mf.trackers import register

class Log:
    def __init__(self, path, text):
        self.path, self.text = path, text

    def metrics(self, values, step):
        self.text += f" {values['scores/accuracy']} {values['latency/encoder/1/speed_up']}"

    def finish(self):
        with self.path.open("a") as file:
            file.write(f"{self.text}\\n")

@register("lines")
class Lines:
    def __init__(self, folder):
        self.path = folder / "lines.txt"

    def has(self, run):
        return self.path.exists() and run.id in self.path.read_text()

    def start(self, run, step):
        return Log(self.path, f"{run.id} {run.parameters['encoder']} {run.parameters['seed']}")
"""


@pytest.fixture(autouse=True)
def registered(nothing_included: None) -> Iterator[None]:
    """Let no other test meet the trackers that a test registers."""
    yield
    for name in set(REGISTERED) - {"mlflow", "tensorboard"}:
        del REGISTERED[name]


@pytest.fixture
def runs() -> list[Run]:
    return expand(SweepSpec.from_file(None, tasks=["sst"], methods=[], seeds=[1, 2]))


class _AtOnce(Executor[Run, Measurements]):
    """Gives each run the same score, without running anything."""

    def __init__(self) -> None:
        self.started: list[Run] = []

    @property
    def capacity(self) -> int:
        return 2

    def start(self, run: Run) -> None:
        self.started.append(run)

    def events(self, timeout: float) -> Iterator[tuple[Run, Result[Measurements]]]:
        while self.started:
            yield self.started.pop(0), Result(measurements(record(None, 0.4)))

    def stop(self) -> None: ...


def _sweep(runs: list[Run], tracker: Tracker, output: Path) -> list[str]:
    """Run a sweep, and return the ids of the runs that it recorded."""
    view = TrackedRecords(View(), tracker, output)
    outcomes = run_sweep(runs, output, _AtOnce(), RecordStore(output), view)
    return [outcome.record.id for outcome in outcomes if outcome.record is not None]


@pytest.mark.slow
def test_a_sweep_is_logged_once(tmp_path: Path, runs: list[Run], capsys: pytest.CaptureFixture[str]) -> None:
    """What a sweep ran, what another one recorded before, and nothing twice; by a tracker of the user's."""
    (tmp_path / "my_trackers.py").write_text(_LINES)
    (tmp_path / "sweep.json").write_text(json.dumps({"tasks": ["sst"], "methods": [], "seeds": [1, 2]}))
    RecordStore(tmp_path).write(runs[0], measurements(record(None, 0.3)))
    tracked = ["--tracker", "lines", "--include", str(tmp_path / "my_trackers.py")]
    command = ["sweep", str(tmp_path / "sweep.json"), "--output", str(tmp_path), *tracked]
    assert main([*command, "--status"]) == 0 and not (tmp_path / "lines.txt").exists()
    RecordStore(tmp_path).write(runs[1], measurements(record(None, 0.5)))
    for _ in range(2):
        assert main(command) == 0
        assert (tmp_path / "lines.txt").read_text().splitlines() == [
            f"{runs[0].id} dense 1 0.3 2.0", f"{runs[1].id} dense 2 0.5 2.0"
        ]  # fmt: skip
    assert not (tmp_path / "running").exists() and "warning" not in capsys.readouterr().err
    other = expand(SweepSpec.from_file(None, tasks=["sst"], methods=["svd"], ranks=[4], targets=["all"], seeds=[1]))
    assert len(_sweep([*runs, *other], tracker_named("lines", tmp_path), tmp_path)) == 3
    assert [line.split(" ", 1)[1] for line in (tmp_path / "lines.txt").read_text().splitlines()[2:]] == [
        "svd all rank 4 1 0.4 2.0"
    ]


class _Failing:
    """A tracker of which one method fails."""

    where = ""

    def __init__(self, folder: Path) -> None: ...

    def has(self, run: TrackedRun) -> bool:
        return self._fail("has")

    def start(self, run: TrackedRun, step: int) -> RunLog:
        self._fail("start")
        return self

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self._fail("metrics")

    def finish(self) -> None:
        self._fail("finish")

    def _fail(self, where: str) -> bool:
        if where == self.where:
            raise OSError("the server\nis gone")
        return False


@pytest.mark.parametrize("where", ["has", "start", "metrics", "finish"])
def test_a_failing_tracker_stops_nothing(
    where: str, tmp_path: Path, runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    register("failing")(_Failing)
    monkeypatch.setattr(_Failing, "where", where)
    with pytest.warns(UserWarning) as warned:
        assert _sweep(runs, tracker_named("failing", tmp_path), tmp_path) == [run.id for run in runs]
    text = "the tracker failing failed and logs nothing more: OSError: the server is gone"
    assert [str(one.message) for one in warned] == [text]


def test_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--tracker", "mlfow", "--tasks", "sst", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "elmo-mf: error: --tracker: found 'mlfow', expected one of mlflow, tensorboard; did you mean mlflow?\n"
    )
    assert main(["sweep", "--tracker", "mlflow", "--retime", "all"]) == 2
    assert "--retime cannot be combined with --tracker" in capsys.readouterr().err
    register("failing")(_Failing)
    with pytest.raises(InputError, match=r"Other: found the name 'failing', which _Failing has"):
        register("failing")(type("Other", (_Failing,), {}))


def test_tensorboard(tmp_path: Path) -> None:
    folder = tmp_path / "tensorboard" / "first"
    tracker = tracker_named("tensorboard", tmp_path)
    assert not tracker.has(_RUN) and not folder.exists()
    log = tracker.start(_RUN, 0)
    log.metrics({"scores/accuracy": 0.5}, 0)
    assert not tracker.has(_RUN)  # until it ends
    log.finish()
    content = b"".join(path.read_bytes() for path in folder.glob("events.*"))
    assert all(name in content for name in (b"scores/accuracy", b"session_start_info", b"rank", b"svd"))
    assert tracker_named("tensorboard", tmp_path).has(_RUN)
    other = TrackedRun(_RUN.name, "b" * 64, {})
    assert not tracker.has(other)
    tracker.start(other, 0)
    assert not tracker.has(_RUN)


@pytest.mark.slow  # imports MLflow and creates its tables
def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted run is continued, and its steps are not logged again."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    output = tmp_path / "my sweep"
    output.mkdir()
    first = tracker_named("mlflow", output)
    assert not list(output.iterdir()) and not first.has(_RUN)
    for step in (1, 2):
        first.start(_RUN, 0).metrics({"scores/accuracy": step / 8}, step)
    tracker = tracker_named("mlflow", output)
    assert not tracker.has(_RUN)
    log = tracker.start(_RUN, 1)
    for step in (2, 3):
        log.metrics({"scores/accuracy": step / 8, "loss": 1.5}, step)
    log.finish()
    assert tracker.has(_RUN) and first.has(_RUN) and not tracker.has(TrackedRun("first", "b" * 64, {}))
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{output}/mlflow.db")
    (one,) = client.search_runs([client.get_experiment_by_name("elmo-mf").experiment_id])
    assert (one.info.run_name, one.info.status, one.data.params) == (
        "first", "FINISHED", {"rank": "4", "method": "svd", "dense": "False"}
    )  # fmt: skip
    history = client.get_metric_history(one.info.run_id, "scores/accuracy")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.125), (2, 0.25), (3, 0.375)]
    for sign in "?#%":
        with pytest.raises(InputError, match=r"expected a name without \?, # and %"):
            tracker_named("mlflow", tmp_path / f"a{sign}b")
