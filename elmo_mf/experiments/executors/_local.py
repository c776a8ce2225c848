"""Execution on this machine: each run in a fresh process, a fixed number at a time.

The processes are forked, in milliseconds, from a server that has only imported what runs need. A killed process, for
example when memory is short, does not affect the others; if the sweep itself is killed, they end too. The design page
says what of this was lost with `concurrent.futures` and with pebble.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Any, Generic

from elmo_mf.errors import InputError, one_line
from elmo_mf.experiments._attempt import ENVIRONMENT, log_end
from elmo_mf.experiments._runs import MeasuredT, Progress, Result, Run, RunT, Work
from elmo_mf.experiments.executors._executor import Executor

CONTEXT = get_context("forkserver")

_SERVER_KILLED = 255  # exit code that `multiprocessing` reports in this case
_DYING_SECONDS = 2.0  # within which a killed process ends


@dataclass(frozen=True)
class _Running(Generic[RunT]):
    run: RunT
    process: ForkServerProcess
    events: Connection


class LocalExecutor(Executor[RunT, MeasuredT]):
    """Executes runs in `workers` processes of `threads` threads each.

    Args:
        work: Executes a run.
        output: Folder of the sweep, for scratch and cache.
        workers: Number of processes at a time.
        threads: Threads of each process; by default `OMP_NUM_THREADS`, as in PyTorch, or else the machine's cores
            divided among the workers.
        preload: Modules that the server imports before the first run.
    """

    def __init__(
        self,
        work: Work[MeasuredT],
        output: Path,
        workers: int = 1,
        threads: int | None = None,
        preload: Sequence[str] = (),
    ) -> None:
        self.work, self.output, self.workers = work, output, workers
        self.threads = threads or openmp_threads() or max(1, available_cores() // workers)
        self.preload = list(preload)
        self._running: list[_Running[RunT]] = []
        self._ending: list[ForkServerProcess] = []
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)  # which the server inherits

    @property
    def capacity(self) -> int:
        """Number of runs that can be in progress at a time."""
        return self.workers

    def start(self, run: RunT) -> None:
        """Start a run.

        Raises:
            InputError: The server was killed, and so was its replacement.
        """
        try:
            running = self._started(run)
        except (EOFError, OSError) as error:
            _end_of_server(error)  # one that is still dying would not be replaced
            try:
                running = self._started(run)
            except (EOFError, OSError) as error:
                raise InputError(run, f"the process that runs are forked from {_end_of_server(error)}") from error
        self._running.append(running)

    def _started(self, run: RunT) -> _Running[RunT]:
        ours, theirs = CONTEXT.Pipe(duplex=False)
        with theirs:
            arguments = theirs, self.work, run, self.output, self.threads
            process = CONTEXT.Process(target=_child, args=arguments, name=run.name)
            try:
                start_server(self.preload)
                with _without_main():
                    process.start()
            except BaseException:
                ours.close()
                raise
        return _Running(run, process, ours)

    def events(self, timeout: float) -> Iterator[tuple[RunT, Progress | Result[MeasuredT]]]:
        """See `Executor.events`."""
        ready = set(wait([one.events for one in self._running], timeout))
        for one in [one for one in self._running if one.events in ready]:
            event = self._read(one)
            if isinstance(event, Result):
                self._running.remove(one)
                one.events.close()
                self._ending.append(one.process)  # it ends without being waited for
            yield one.run, event
        self._ending = [process for process in self._ending if process.is_alive()]

    def _read(self, one: _Running[RunT]) -> Progress | Result[MeasuredT]:
        try:
            event: Progress | Result[MeasuredT] = one.events.recv()
        except (EOFError, OSError):
            one.process.join()
            log = self._salvage(one.run)
            return Result(error=f"its process {_death(one.process.exitcode)}", log=log, fault="killed")
        return event

    def _salvage(self, run: Run) -> str:
        """Return the log of a dead process and delete its scratch folder."""
        log = ""
        for folder in (self.output / "running").glob(f".{glob.escape(run.name)}[.-]*"):
            with contextlib.suppress(OSError):
                log = log_end(folder / "out.log")
            shutil.rmtree(folder, ignore_errors=True)
        return log

    def stop(self) -> None:
        """End the runs in progress and discard their results."""
        for one in self._running:
            one.process.kill()
        for one in self._running:
            one.process.join()
            one.events.close()
            self._salvage(one.run)
        for process in self._ending:
            process.join()
        self._running.clear()
        self._ending.clear()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Let a process that is started in the context not import the main module.

    It needs nothing of it, and a script that calls for a sweep at its top level would start another one.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def start_server(preload: Sequence[str] = ()) -> None:
    """Start the fork server unless it runs, with interrupts ignored, because a terminal sends them to all processes.

    The server itself ignores them only after its imports; before, an interrupt would end it with a traceback.
    """
    server: Any = forkserver._forkserver
    CONTEXT.set_forkserver_preload(list(preload))
    if threading.current_thread() is not threading.main_thread():
        server.ensure_running()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        server.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def openmp_threads() -> int | None:
    """Return the number of threads that `OMP_NUM_THREADS` sets at the outermost level; None if it sets none."""
    outermost = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(outermost) or None if outermost.isdecimal() else None


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            memory = ", out of memory?" if -code == signal.SIGKILL else ""
            return f"was killed by {signal.Signals(-code).name}{memory}"
    return "lost the process that it was forked from" if code == _SERVER_KILLED else f"ended with status {code}"


def _end_of_server(error: BaseException) -> str:
    """Describe how the server ended, without reaping it, which is left to `multiprocessing`."""
    server: Any = forkserver._forkserver
    deadline = time.monotonic() + _DYING_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError, TypeError):  # TypeError: there is no server
            end = os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if end is not None:
                return _death(end.si_status if end.si_code == os.CLD_EXITED else -end.si_status)
        time.sleep(0.01)
    return f"does not answer ({one_line(error)})"


def _child(events: Connection, work: Work[Any], run: Run, output: Path, threads: int) -> None:
    import torch

    from elmo_mf.experiments.executors._preload import thread_pools

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # sent by the terminal to all processes; the sweep ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    with thread_pools().limit(limits=threads):
        events.send(work(run, output, events.send))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
