"""A real Ray cluster of three nodes on this machine: the same records as here, when a node dies too."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.errors import InputError
from elmo_mf.experiments.attempt import Result, attempt
from elmo_mf.experiments.executors.cluster import RayExecutor
from elmo_mf.experiments.scheduler import Outcome, Unwatched, run_sweep
from elmo_mf.experiments.workspace import Progress
from elmo_mf.records.store import ResultStore
from elmo_mf.tasks.grid import Run, expand
from elmo_mf.tasks.spec import SweepSpec
from tests.experiments.test_survival import _failing
from tests.sweeps import TinySweep, records_here

pytestmark = pytest.mark.cluster

ray = pytest.importorskip("ray", reason="needs the extra cluster")
Report = Callable[[Progress], None]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    ray.shutdown()
    made.shutdown()


def _executor(spec: SweepSpec, output: Path, cluster: Any, **how: Any) -> RayExecutor:
    return RayExecutor(spec, expand(spec), output, cluster.address, threads=1, **how)


def _noted(spec: SweepSpec, run: Run, output: Path, report: Report) -> Result:
    """A real run that says with each of its phases on which node it runs: who looks now and then cannot miss it."""
    node = ray.get_runtime_context().get_node_id()
    return attempt(spec, run, output, lambda news: report(replace(news, phase=f"on {node}")))


class _Nodes(Unwatched):
    """Which nodes the runs ran on; kills the first that a run runs on, once."""

    def __init__(self, kill: Callable[[str], None]) -> None:
        self.kill, self.killed = kill, threading.Event()
        self.ran: list[str] = []
        self.done_cells: list[str] = []

    def progress(self, run: Run, progress: Progress) -> None:
        if progress.phase.startswith("on "):
            self.ran.append(progress.phase[3:])
            if not self.killed.is_set():
                self.killed.set()
                self.kill(progress.phase[3:])

    def done(self, outcome: Outcome) -> None:
        self.done_cells.append(outcome.run.id)


def test_a_node_dies_in_mid_sweep(cluster: Any, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """Nothing lost, nothing twice, and no file of ours read where the runs run."""
    spec = tiny_sweep(seeds=[1, 2], overrides={"sst": {"trainer.num_epochs": 1}})
    expected = [one["scores"] for one in records_here(spec, tmp_path / "here")]
    runs, output = expand(spec), tmp_path / "out"
    nodes = {node.node_id: node for node in (cluster.add_node(num_cpus=1) for _ in range(2))}
    view = _Nodes(lambda node: cluster.remove_node(nodes[node], allow_graceful=False))
    executor = _executor(spec, output, cluster, work=_noted)
    assert executor.slots == 3
    for gone in ("data", "elmo"):
        shutil.move(tmp_path / gone, tmp_path / f"gone-{gone}")
    outcomes = run_sweep(runs, output, executor, view)

    assert view.killed.is_set() and len(set(view.ran)) == 2
    assert sorted(view.done_cells) == sorted(run.id for run in runs)
    assert [outcome.error for outcome in outcomes] == [""] * len(runs)
    found = {record["id"]: record["scores"] for record in ResultStore(output).records()}
    assert [found[run.id] for run in runs] == expected
    assert {path.name for path in output.iterdir()} == {"records"}


def test_failures_come_back_with_their_log(cluster: Any, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec, output = tiny_sweep(seeds=[1], methods=[]), tmp_path / "out"
    cluster.add_node(num_cpus=1)
    (outcome,) = run_sweep(expand(spec), output, _executor(spec, output, cluster, work=_broken))
    assert outcome.error == "ValueError: no" and outcome.log is not None and outcome.log.read_text() == "why"


def _broken(spec: SweepSpec, run: Run, output: Path, report: Report) -> Result:
    output.mkdir(parents=True, exist_ok=True)
    return _failing(spec, run, output, report)


def test_no_such_cluster(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = tiny_sweep()
    with pytest.raises(InputError, match=r"--ray: found no cluster at 127\.0\.0\.1:1 "):
        RayExecutor(spec, expand(spec), tmp_path, "127.0.0.1:1")
