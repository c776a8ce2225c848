"""A real Ray cluster of three nodes on this machine gives the same records as local runs, even if a node dies."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.compression import method_hash
from elmo_mf.errors import InputError
from elmo_mf.experiments import Progress, Report, Result, run_sweep
from elmo_mf.experiments.executors import RayExecutor, connect
from elmo_mf.experiments.executors._cluster import PortableWork
from elmo_mf.records import Measurements, Run
from elmo_mf.records.store import RecordStore
from elmo_mf.tasks import SweepSpec, expand
from elmo_mf.tasks._portable import PortableSweep
from tests.conftest import documented_method
from tests.sweeps import SweepOutcome, SweepView, TinySweep, records_here

pytestmark = pytest.mark.cluster

ray = pytest.importorskip("ray", reason="needs the extra cluster")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def _executor(
    spec: SweepSpec,
    cluster: Any,
    scratch: Path,
    wrapped: Callable[[PortableWork[Measurements]], PortableWork[Measurements]],
) -> RayExecutor[Run, Measurements]:
    sweep = PortableSweep(spec, expand(spec), scratch)
    return RayExecutor(connect(cluster.address), sweep.bundle, lambda run: wrapped(sweep.run(run)), threads=1)


@dataclass(frozen=True)
class _NamesNode:
    """Work of a real run that reports its node in place of the phase."""

    work: PortableWork[Measurements]

    def __call__(self, folder: Path, output: Path, report: Report) -> Result[Measurements]:
        node = ray.get_runtime_context().get_node_id()
        return self.work(folder, output, lambda progress: report(replace(progress, phase=f"on {node}")))


class _Nodes(SweepView):
    """Collects the nodes that execute runs and kills the first of them."""

    def __init__(self, kill: Callable[[str], None]) -> None:
        self.kill, self.killed = kill, threading.Event()
        self.ran: list[str] = []
        self.ended: list[str] = []

    def progress(self, run: Run, progress: Progress) -> None:
        if progress.phase.startswith("on "):
            self.ran.append(progress.phase[3:])
            if not self.killed.is_set():
                self.killed.set()
                self.kill(progress.phase[3:])

    def done(self, outcome: SweepOutcome) -> None:
        self.ended.append(outcome.run.id)


@pytest.mark.usefixtures("nothing_included")
def test_a_node_dies_in_mid_sweep(cluster: Any, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """No run is lost or repeated, and runs read the files that they are sent, a method of one's own among them."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "my_methods.py").write_text(documented_method())
    keys: dict[str, Any] = {"methods": ["longest_columns"], "include": [str(tmp_path / "mine")], "limit": 8}
    spec = tiny_sweep(**keys, overrides={"sst": {"trainer.num_epochs": 1}})
    expected = [one["scores"] for one in records_here(spec, tmp_path / "here")]
    runs, output = expand(spec), tmp_path / "out"
    nodes = {node.node_id: node for node in (cluster.add_node(num_cpus=1) for _ in range(2))}
    view = _Nodes(lambda node: cluster.remove_node(nodes[node], allow_graceful=False))
    executor = _executor(spec, cluster, tmp_path / "scratch", _NamesNode)
    assert executor.capacity == 3
    for gone in ("data", "elmo", "mine"):
        shutil.move(tmp_path / gone, tmp_path / f"gone-{gone}")
    outcomes = run_sweep(runs, output, executor, RecordStore(output), view)

    assert view.killed.is_set() and len(set(view.ran)) == 2
    assert sorted(view.ended) == sorted(run.id for run in runs)
    assert [outcome.error for outcome in outcomes] == ["", ""]
    records = {record.id: record for record in RecordStore(output).records()}
    assert [records[run.id].scores for run in runs] == expected
    assert [records[run.id].run.method_file for run in runs] == [None, method_hash("longest_columns")]
    assert {path.name for path in output.iterdir()} == {"records"}


def test_failures_come_back_with_their_log(cluster: Any, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec, output = tiny_sweep(seeds=[1], methods=[]), tmp_path / "out"
    cluster.add_node(num_cpus=1)
    executor = _executor(spec, cluster, tmp_path / "scratch", lambda _: _broken)
    (outcome,) = run_sweep(expand(spec), output, executor, RecordStore(output))
    assert outcome.error == "ValueError: no" and outcome.log is not None and outcome.log.read_text() == "why"


def _broken(folder: Path, output: Path, report: Report) -> Result[Measurements]:
    return Result(error="ValueError: no", log="why")


def test_no_such_cluster() -> None:
    with pytest.raises(InputError, match=r"^ray: .*127\.0\.0\.1:1 "):
        connect("127.0.0.1:1")
