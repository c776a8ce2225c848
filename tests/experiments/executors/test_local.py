"""Execution in local processes: their number, their threads, exclusive measurements and crashes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from elmo_mf.experiments import Progress, Report, Result, workspace
from elmo_mf.experiments.executors import LocalExecutor
from elmo_mf.experiments.executors._local import available_cores
from elmo_mf.records.run import Run
from elmo_mf.tasks import PRELOAD, expand
from tests.conftest import ROOT
from tests.sweeps import TinySweep, executor_here

pytestmark = pytest.mark.slow

Fields = dict[str, Any]


def _results(executor: LocalExecutor[Run, Fields], runs: list[Run]) -> list[Result[Fields]]:
    for run in runs:
        executor.start(run)
    results: dict[str, Result[Fields]] = {}
    while len(results) < len(runs):
        for run, news in executor.events(10):
            if isinstance(news, Result):
                results[run.id] = news
    return [results[run.id] for run in runs]


def _info(run: Run, output: Path, report: Report) -> Result[Fields]:
    import threadpoolctl

    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return Result(log=json.dumps({"pid": os.getpid(), "torch": torch.get_num_threads(), "pools": pools}))


def test_each_run_has_a_fresh_process_and_its_threads(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = tiny_sweep()
    for threads in (1, 2):
        logs = [json.loads(r.log) for r in _results(LocalExecutor(_info, tmp_path, 2, threads, PRELOAD), expand(spec))]
        assert len({one["pid"] for one in logs} | {os.getpid()}) == 3
        assert all(one["torch"] == threads and set(one["pools"]) <= {threads} for one in logs)


def test_no_process_imports_the_main_script(
    tiny_sweep: TinySweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a script may call for a sweep at its top level."""
    script = ModuleType("__main__")
    script.__file__ = str(tmp_path / "script.py")
    Path(script.__file__).write_text("raise SystemExit(1)\n")
    monkeypatch.setitem(sys.modules, "__main__", script)
    (result,) = _results(LocalExecutor(_info, tmp_path, 1, 1, PRELOAD), expand(tiny_sweep())[:1])
    assert not result.error and sys.modules["__main__"] is script


def test_the_cores_are_divided_among_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = available_cores()
    assert LocalExecutor(_info, tmp_path, 1).threads == cores
    assert LocalExecutor(_info, tmp_path, cores).threads == 1
    assert LocalExecutor(_info, tmp_path, cores + 5).threads == 1


@pytest.mark.parametrize(("setting", "threads"), [("3", 3), (" 5,2", 5), ("0", None), ("many", None), ("", None)])
def test_threads_are_those_of_openmp(
    setting: str, threads: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`OMP_NUM_THREADS` is read as in PyTorch; an explicit number takes precedence."""
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert LocalExecutor(_info, tmp_path, 1).threads == (threads or available_cores())
    assert LocalExecutor(_info, tmp_path, 1, 2).threads == 2


def _spans(run: Run, output: Path, report: Report) -> Result[Fields]:
    """Alternate between training and measuring, and return when each took place."""
    training, measuring = [], []
    with workspace(output, run.name, report=report) as work:
        for _ in range(3):
            for _ in range(10):
                start = time.monotonic()
                time.sleep(0.003)
                training.append((start, time.monotonic()))
                work.step(Progress("training"))
            with work.machine.exclusive():
                start = time.monotonic()
                time.sleep(0.02)
                measuring.append((start, time.monotonic()))
    return Result(log=json.dumps({"training": training, "measuring": measuring}))


def test_latency_is_measured_while_nothing_else_runs(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = tiny_sweep(seeds=[1, 2])
    logs = [json.loads(r.log) for r in _results(executor_here(_spans, tmp_path, 4), expand(spec))]
    measuring = [span for one in logs for span in one["measuring"]]
    others = measuring + [span for one in logs for span in one["training"]]
    assert len(measuring) == 12
    for start, end in measuring:
        assert [span for span in others if span[0] < end and start < span[1]] == [[start, end]]


def _raises(run: Run, output: Path, report: Report) -> Result[Fields]:
    raise AssertionError("not a run's own error")


def test_a_process_that_ends_by_itself(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec = tiny_sweep()
    (result, _) = _results(executor_here(_raises, tmp_path, 2), expand(spec))
    assert (result.error, result.fault) == ("its process ended with status 1", "killed")


def _segfault(run: Run, output: Path, report: Report) -> Result[Fields]:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def test_a_crash_is_named(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    (result, _) = _results(executor_here(_segfault, tmp_path), expand(tiny_sweep()))
    assert (result.error, result.fault) == ("its process was killed by SIGSEGV", "killed")


_SERVER = """
import os, signal, sys
from pathlib import Path
from multiprocessing import forkserver
from elmo_mf.errors import InputError
from elmo_mf.experiments.executors import _local
from tests.experiments.executors.works import LightRun, nothing

server, kills, most = forkserver._forkserver, [], int(sys.argv[1])
run_server = server.ensure_running

def killed():
    run_server()
    if len(kills) < most:
        kills.append(os.kill(server._forkserver_pid, signal.SIGKILL))

server.ensure_running = killed
executor = _local.LocalExecutor(nothing, Path(sys.argv[2]), 1, 1)
try:
    executor.start(LightRun("a run"))
    print(next(executor.events(500))[1].error or "ran")
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("kills", "output"),
    [(2, "ran"), (4, "a run: the process that runs are forked from was killed by SIGKILL, out of memory?")],
)
def test_a_server_that_is_killed_at_its_start(kills: int, output: str, tmp_path: Path) -> None:
    """The server is restarted once; each start calls `ensure_running` twice."""
    command = [sys.executable, "-c", _SERVER, str(kills), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == f"{output}\n", done.stderr


_STARTED = """
import signal
from multiprocessing import forkserver
from elmo_mf.experiments.executors import _local

before = signal.getsignal(signal.SIGINT)
_local.start_server(["time"])
pid = forkserver._forkserver._forkserver_pid
with open(f"/proc/{pid}/status") as file:
    ignored = next(int(line.split()[1], 16) for line in file if line.startswith("SigIgn"))
print(bool(ignored >> signal.SIGINT - 1 & 1), signal.getsignal(signal.SIGINT) is before)
"""


def test_an_interrupt_does_not_end_the_server_while_it_imports() -> None:
    """An interrupted server would print a traceback, which the sweep's own message makes redundant."""
    ran = subprocess.run([sys.executable, "-c", _STARTED], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.split() == ["True", "True"]
