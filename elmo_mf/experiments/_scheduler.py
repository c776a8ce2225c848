"""Execution of a sweep's unrecorded runs, each exactly once, even if several processes execute the same sweep."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from elmo_mf.experiments._failures import Failures
from elmo_mf.experiments._leases import Lease, Leases
from elmo_mf.experiments._runs import MeasuredT, Progress, RecordT, Result, Run, RunT
from elmo_mf.experiments.executors import Executor
from elmo_mf.io import OutputError
from elmo_mf.io.locks import acquire

_POLL_SECONDS = 0.5  # between checks for runs that other sweeps have finished
_HEARTBEAT_SECONDS = 2.0

_RunT = TypeVar("_RunT", bound=Run, contravariant=True)
_MeasuredT = TypeVar("_MeasuredT", contravariant=True)
_RecordT = TypeVar("_RecordT", covariant=True)


@dataclass(frozen=True)
class Outcome(Generic[RunT, RecordT]):
    """Outcome of a run: its record or an error.

    Attributes:
        run: The run.
        record: Record of the run; None if it failed.
        error: Why the run failed, in one line; empty if it did not.
        log: File with details about the error.
        again: Whether the same command would execute the run again: its machine failed, or failures are not remembered.
    """

    run: RunT
    record: RecordT | None = None
    error: str = ""
    log: Path | None = None
    again: bool = False


class Store(Protocol[_RunT, _MeasuredT, _RecordT]):
    """Storage of records."""

    def read(self, run: _RunT, /) -> _RecordT | None:
        """Return the record of a run; None if the run is to be executed."""

    def write(self, run: _RunT, measured: _MeasuredT, /) -> _RecordT:
        """Write and return the record of a run.

        Raises:
            ValueError: The measurements are not a valid record; the run counts as failed.
            OutputError: The record cannot be written; the sweep ends.
        """


class View(Generic[RunT, RecordT]):
    """Observer of a sweep. This base class ignores all events."""

    def started(self, run: RunT) -> None:
        """Handle the start of a run in this process."""

    def progress(self, run: RunT, progress: Progress) -> None:
        """Handle the progress of a run that was started in this process."""

    def done(self, outcome: Outcome[RunT, RecordT]) -> None:
        """Handle the end of a run, in this process or another one."""


def run_sweep(
    runs: Sequence[RunT],
    output: Path,
    executor: Executor[RunT, MeasuredT],
    store: Store[RunT, MeasuredT, RecordT],
    view: View[RunT, RecordT] | None = None,
    *,
    retry_failed: bool = False,
    fail_fast: bool = False,
    remember_failures: bool = True,
) -> list[Outcome[RunT, RecordT]]:
    """Execute runs, writing each record as soon as its run is done.

    Args:
        runs: The runs.
        output: Folder of the sweep.
        executor: Executes the runs.
        store: Records of the sweep.
        view: Observer; None for none.
        retry_failed: Execute runs that failed before again. Defaults to False, which returns them as failed.
        fail_fast: End at the first failure. Defaults to False.
        remember_failures: Skip runs that fail in this call in the next one. Defaults to True.

    Returns:
        The outcomes in the order in which the runs ended; fewer than `runs` if `fail_fast` ended the sweep.

    Raises:
        OSError: `output` cannot be written to. The records written before are kept.
    """
    with joined(output):
        sweep = _Sweep(output, executor, store, view or View(), fail_fast, remember_failures)
        try:
            return sweep.all(runs, retry_failed)
        finally:
            sweep.end()


class _Sweep(Generic[RunT, MeasuredT, RecordT]):
    def __init__(
        self,
        output: Path,
        executor: Executor[RunT, MeasuredT],
        store: Store[RunT, MeasuredT, RecordT],
        view: View[RunT, RecordT],
        fail_fast: bool,
        remember_failures: bool,
    ) -> None:
        self.failures, self.leases = Failures(output), Leases(output)
        self.executor, self.store, self.view = executor, store, view
        self.fail_fast, self.remember_failures = fail_fast, remember_failures
        self.running: dict[str, tuple[RunT, Lease]] = {}
        self.last_beat: dict[str, float] = {}
        self.outcomes: list[Outcome[RunT, RecordT]] = []
        self.stopped = False

    def all(self, runs: Sequence[RunT], retry_failed: bool) -> list[Outcome[RunT, RecordT]]:
        todo = {run.id: run for run in runs}
        if retry_failed:
            for run in runs:
                self.failures.clear(run)
        while (todo or self.running) and not self.stopped:
            self._fill(todo)
            if self.running:
                for run, event in self.executor.events(_POLL_SECONDS):
                    self._handle(run, event)
            elif todo:  # other sweeps execute these
                time.sleep(_POLL_SECONDS)
        return self.outcomes

    def _fill(self, todo: dict[str, RunT]) -> None:
        """Start runs while the executor has capacity."""
        for run in self._in_order(list(todo.values())):
            if len(self.running) >= self.executor.capacity or self.stopped:
                return
            lease = self.leases.acquire(run)
            if lease is None:
                continue
            del todo[run.id]
            known = self._known(run)  # another sweep may have ended it since the last check
            if known is None:
                self.running[run.id] = run, lease
                self.view.started(run)
                self.executor.start(run)
            else:
                lease.release()
                self._end(known)

    def _in_order(self, runs: list[RunT]) -> Iterator[RunT]:
        """Yield first the runs that others would wait for, and last those that would wait for a run in progress."""
        number = Counter(key for run in runs for key in run.shared_work)
        waiting = []
        for run in sorted(runs, key=lambda run: all(number[key] == 1 for key in run.shared_work)):
            if any(run.shared_work & other.shared_work for other, _ in self.running.values()):
                waiting.append(run)
            else:
                yield run
        yield from waiting

    def _known(self, run: RunT) -> Outcome[RunT, RecordT] | None:
        if (record := self.store.read(run)) is not None:
            return Outcome(run, record)
        failure = self.failures.of(run)
        return None if failure is None else Outcome(run, error=failure.error, log=failure.log)

    def _handle(self, run: RunT, event: Progress | Result[MeasuredT]) -> None:
        lease = self.running[run.id][1]
        if isinstance(event, Progress):
            self.view.progress(run, event)
            if time.monotonic() - self.last_beat.get(run.id, 0.0) > _HEARTBEAT_SECONDS:
                self.last_beat[run.id] = time.monotonic()
                lease.beat(event)
            return
        try:
            outcome = self._settle(run, event)
        except OutputError as error:  # not a failure of the run
            raise OSError(f"{run}: {error}") from error
        del self.running[run.id]
        lease.release()
        self._end(outcome)

    def _settle(self, run: RunT, result: Result[MeasuredT]) -> Outcome[RunT, RecordT]:
        """Write the record or the failure."""
        if result.measured is not None:
            try:
                record = self.store.write(run, result.measured)
            except OutputError:
                raise
            except ValueError as error:
                result = Result(error=str(error))
            else:
                self.failures.clear(run)
                return Outcome(run, record)
        if result.fault == "disk":
            raise OSError(f"{run}: {result.error}")
        again = bool(result.fault) or not self.remember_failures
        failure = self.failures.write(run, result.error, result.log, remembered=not again)
        return Outcome(run, error=failure.error, log=failure.log, again=again)

    def _end(self, outcome: Outcome[RunT, RecordT]) -> None:
        self.outcomes.append(outcome)
        self.view.done(outcome)
        self.stopped = self.stopped or (self.fail_fast and bool(outcome.error))

    def end(self) -> None:
        self.executor.stop()
        for _, lease in self.running.values():
            lease.release()
        self.running.clear()


@contextlib.contextmanager
def joined(output: Path) -> Iterator[None]:
    """Register as a sweep of a folder; the first sweep deletes what killed ones have left there.

    The context is reentrant within a process.
    """
    path = output / "running" / ".sweeps"
    alone = acquire(path, wait=False)
    if alone is not None:
        _clear(output)
        alone.release()
    lock = acquire(path, shared=True)
    assert lock is not None
    try:
        yield
    finally:
        lock.release()
        last = acquire(path, wait=False)
        if last is not None:
            shutil.rmtree(output / "running", ignore_errors=True)
            last.release()


def _clear(output: Path) -> None:
    for pattern in ("running/.*-*", "running/*.lock", "cache/*/.*", "records/.*.tmp", "failed/*/.*.tmp"):
        for path in output.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
