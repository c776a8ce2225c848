"""Processes of this machine: as many as asked, with their share of threads, measuring alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from elmo_mf.experiments.attempt import Result
from elmo_mf.experiments.executors.local import LocalExecutor, available_cores
from elmo_mf.experiments.workspace import Progress, workspace
from elmo_mf.tasks.grid import Run, expand
from elmo_mf.tasks.spec import SweepSpec
from tests.conftest import ROOT
from tests.sweeps import TinySweep

pytestmark = pytest.mark.slow

Report = Callable[[Progress], None]


def _results(executor: LocalExecutor, runs: list[Run]) -> list[Result]:
    for run in runs:
        executor.start(run)
    results: dict[str, Result] = {}
    while len(results) < len(runs):
        for run, news in executor.events(10):
            if isinstance(news, Result):
                results[run.id] = news
    return [results[run.id] for run in runs]


def _about(spec: SweepSpec, run: Run, output: Path, report: Report) -> Result:
    import threadpoolctl

    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return Result(log=json.dumps({"pid": os.getpid(), "torch": torch.get_num_threads(), "pools": pools}))


def test_each_run_has_a_fresh_process_and_its_threads(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = tiny_sweep()
    for threads in (1, 2):
        found = [json.loads(r.log) for r in _results(LocalExecutor(spec, tmp_path, 2, threads, _about), expand(spec))]
        assert len({one["pid"] for one in found} | {os.getpid()}) == 3
        assert all(one["torch"] == threads and set(one["pools"]) <= {threads} for one in found)


def test_the_cores_are_shared_out(tiny_sweep: TinySweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = available_cores()
    assert LocalExecutor(tiny_sweep(), tmp_path, 1).threads == cores
    assert LocalExecutor(tiny_sweep(), tmp_path, cores).threads == 1
    assert LocalExecutor(tiny_sweep(), tmp_path, cores + 5).threads == 1


@pytest.mark.parametrize(("said", "threads"), [("3", 3), (" 5,2", 5), ("0", None), ("many", None), ("", None)])
def test_as_many_threads_as_openmp_is_told(
    said: str, threads: int | None, tiny_sweep: TinySweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in PyTorch; what the command says goes before."""
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert LocalExecutor(tiny_sweep(), tmp_path, 1).threads == (threads or available_cores())
    assert LocalExecutor(tiny_sweep(), tmp_path, 1, 2).threads == 2


def _spans(spec: SweepSpec, run: Run, output: Path, report: Report) -> Result:
    """A run that trains, measures and trains, and says when."""
    training, measuring = [], []
    with workspace(output, run.name, report=report) as work:
        for _ in range(3):
            for _ in range(10):
                start = time.monotonic()
                time.sleep(0.003)
                training.append((start, time.monotonic()))
                work.step(Progress("training"))
            with work.turn.measuring():
                start = time.monotonic()
                time.sleep(0.02)
                measuring.append((start, time.monotonic()))
    return Result(log=json.dumps({"training": training, "measuring": measuring}))


def test_latency_is_measured_while_nothing_else_runs(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = tiny_sweep(seeds=[1, 2])
    found = [json.loads(r.log) for r in _results(LocalExecutor(spec, tmp_path, 4, 1, _spans), expand(spec))]
    measuring = [span for one in found for span in one["measuring"]]
    others = measuring + [span for one in found for span in one["training"]]
    assert len(measuring) == 12
    for start, end in measuring:
        assert [span for span in others if span[0] < end and start < span[1]] == [[start, end]]


def _raises(spec: SweepSpec, run: Run, output: Path, report: Report) -> Result:
    raise AssertionError("not a run's own error")


def test_a_process_that_ends_by_itself(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = tiny_sweep()
    (result, _) = _results(LocalExecutor(spec, tmp_path, 2, 1, _raises), expand(spec))
    assert (result.error, result.fault) == ("its process ended with status 1", "killed")


def _segfault(spec: SweepSpec, run: Run, output: Path, report: Report) -> Result:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def test_a_crash_is_named(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    (result, _) = _results(LocalExecutor(tiny_sweep(), tmp_path, 1, 1, _segfault), expand(tiny_sweep()))
    assert (result.error, result.fault) == ("its process was killed by SIGSEGV", "killed")


_SERVER = """
import os, signal, sys
from pathlib import Path
from multiprocessing import forkserver
from elmo_mf.errors import InputError
from elmo_mf.experiments.executors import local
from elmo_mf.tasks.grid import expand
from elmo_mf.tasks.spec import SweepSpec
from tests.experiments.executors.test_local import _about

server, kills, most = forkserver._forkserver, [], int(sys.argv[1])
run_server = server.ensure_running

def killed():
    run_server()
    if len(kills) < most:
        kills.append(os.kill(server._forkserver_pid, signal.SIGKILL))

server.ensure_running = killed
local.CONTEXT.set_forkserver_preload([])
run = expand(SweepSpec.from_file(None, tasks=["sst"], methods=[]))[0]
executor = local.LocalExecutor(None, Path(sys.argv[2]), 1, 1, _about)
try:
    executor.start(run)
    print(next(executor.events(500))[1].error or "ran")
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("kills", "said"),
    [(2, "ran"), (4, "sst dense seed 13: the process that runs are forked from was killed by SIGKILL, out of memory?")],
)
def test_a_server_that_is_killed_at_its_start(kills: int, said: str, tmp_path: Path) -> None:
    """Is started again, once; each start looks twice whether it runs."""
    command = [sys.executable, "-c", _SERVER, str(kills), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == f"{said}\n", done.stderr


_STARTED = """
import signal
from multiprocessing import forkserver
from elmo_mf.experiments.executors import local

local.CONTEXT.set_forkserver_preload(["time"])
local.start_server()
pid = forkserver._forkserver._forkserver_pid
with open(f"/proc/{pid}/status") as file:
    ignored = next(int(line.split()[1], 16) for line in file if line.startswith("SigIgn"))
print(bool(ignored >> signal.SIGINT - 1 & 1), signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def test_an_interrupt_does_not_end_the_server_while_it_imports() -> None:
    """It would print a traceback between the lines of the sweep, which says all that there is to say."""
    ran = subprocess.run([sys.executable, "-c", _STARTED], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.split() == ["True", "True"]
