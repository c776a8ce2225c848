"""Runs on this machine: a fresh process for each, so many at a time.

The processes are forked from a server that has imported what a run needs and has done nothing else, which costs
milliseconds. A process that is killed, for want of memory say, takes no other with it, and when the sweep itself is
killed, they end too.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError, one_line
from elmo_mf.experiments.attempt import ENVIRONMENT, Attempt, Result, attempt, end_of
from elmo_mf.experiments.workspace import Progress
from elmo_mf.tasks.grid import Run
from elmo_mf.tasks.spec import SweepSpec

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["elmo_mf.experiments.executors.preload"])


_LOST = 255  # what `multiprocessing` says where the server was killed
_DYING = 2.0  # seconds that a killed process may take to end


@dataclass(frozen=True)
class _Running:
    run: Run
    process: ForkServerProcess
    news: Connection


class LocalExecutor:
    """Runs runs in `workers` processes of `threads` threads each.

    Args:
        output: folder of the sweep, for scratch and cache.
        threads: of each process; by default what `OMP_NUM_THREADS` says, as in PyTorch, or else the machine's cores
            divided among the workers.
        work: what to do with a run.
    """

    def __init__(
        self, spec: SweepSpec, output: Path, workers: int = 1, threads: int | None = None, work: Attempt = attempt
    ) -> None:
        self.spec, self.output, self.workers, self.work = spec, output, workers, work
        self.threads = threads or openmp_threads() or max(1, available_cores() // workers)
        self._running: list[_Running] = []
        self._leaving: list[ForkServerProcess] = []
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)  # which the server inherits

    @property
    def slots(self) -> int:
        return self.workers

    def start(self, run: Run) -> None:
        """Begin a run.

        Raises:
            InputError: the server of processes was killed, and the one started in its place was too.
        """
        try:
            running = self._started(run)
        except (EOFError, OSError):
            try:
                running = self._started(run)
            except (EOFError, OSError) as error:
                raise InputError(f"{run}: the process that runs are forked from {_end_of_server(error)}") from error
        self._running.append(running)

    def _started(self, run: Run) -> _Running:
        ours, theirs = CONTEXT.Pipe(duplex=False)
        with theirs:
            arguments = theirs, self.work, self.spec, run, self.output, self.threads
            process = CONTEXT.Process(target=_child, args=arguments, name=run.name)
            try:
                start_server()
                process.start()
            except BaseException:
                ours.close()
                raise
        return _Running(run, process, ours)

    def events(self, timeout: float) -> Iterator[tuple[Run, Progress | Result]]:
        ready = set(wait([one.news for one in self._running], timeout))
        for one in [one for one in self._running if one.news in ready]:
            news = self._read(one)
            if isinstance(news, Result):
                self._running.remove(one)
                one.news.close()
                self._leaving.append(one.process)  # which takes a while, for which nobody need wait
            yield one.run, news
        self._leaving = [process for process in self._leaving if process.is_alive()]

    def _read(self, one: _Running) -> Progress | Result:
        try:
            news: Progress | Result = one.news.recv()
        except (EOFError, OSError):
            one.process.join()
            return Result(
                error=f"its process {_death(one.process.exitcode)}", log=self._salvage(one.run), fault="killed"
            )
        return news

    def _salvage(self, run: Run) -> str:
        """The log of a dead process, whose scratch folder goes."""
        log = ""
        for folder in (self.output / "running").glob(f".{glob.escape(run.name)}[.-]*"):
            with contextlib.suppress(OSError):
                log = end_of(folder / "out.log")
            shutil.rmtree(folder, ignore_errors=True)
        return log

    def stop(self) -> None:
        for one in self._running:
            one.process.kill()
        for one in self._running:
            one.process.join()
            one.news.close()
            self._salvage(one.run)
        for process in self._leaving:
            process.join()
        self._running.clear()
        self._leaving.clear()


def start_server() -> None:
    """Have the server of processes run, and ignore interrupts from its start: a terminal sends them to all.

    It ignores them by itself once it has imported what runs need, and would end in a traceback before.
    """
    server: Any = forkserver._forkserver
    if threading.current_thread() is not threading.main_thread():
        server.ensure_running()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        server.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def openmp_threads() -> int | None:
    """Threads of a process by `OMP_NUM_THREADS`, at the outermost level; None where it says nothing of use."""
    outermost = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(outermost) or None if outermost.isdecimal() else None


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}" + (
                ", out of memory?" if -code == signal.SIGKILL else ""
            )
    return "was cut off from the process that it was forked from" if code == _LOST else f"ended with status {code}"


def _end_of_server(error: BaseException) -> str:
    """How the server ended, which is left to `multiprocessing` to wait for."""
    server: Any = forkserver._forkserver
    deadline = time.monotonic() + _DYING
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError, TypeError):  # TypeError: there is none
            end = os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if end is not None:
                return _death(end.si_status if end.si_code == os.CLD_EXITED else -end.si_status)
        time.sleep(0.01)
    return f"does not answer ({one_line(error)})"


def _child(news: Connection, work: Attempt, spec: SweepSpec, run: Run, output: Path, threads: int) -> None:
    import torch

    from elmo_mf.experiments.executors.preload import pools

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the terminal sends to all; the sweep ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    with pools.limit(limits=threads):
        news.send(work(spec, run, output, news.send))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
