"""Execute the runs of a sweep that are not recorded yet: each exactly once, whoever else executes the same sweep."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from elmo_mf.experiments.executors import Executor
from elmo_mf.experiments.failures import Failures
from elmo_mf.experiments.leases import Lease, Leases
from elmo_mf.experiments.runs import MeasuredT, Progress, RecordT, Result, Run, RunT
from elmo_mf.io import OutputError
from elmo_mf.io.locks import acquire

_POLL_SECONDS = 0.5  # between two looks at what other sweeps have finished
_HEARTBEAT_SECONDS = 2.0

_RunT = TypeVar("_RunT", bound=Run, contravariant=True)
_MeasuredT = TypeVar("_MeasuredT", contravariant=True)
_RecordT = TypeVar("_RecordT", covariant=True)


@dataclass(frozen=True)
class Outcome(Generic[RunT, RecordT]):
    """Outcome of a run: its record or an error.

    Attributes:
        run: the run.
        record: its record; None if it failed.
        error: why it failed, in one line; empty if it did not.
        log: file with more about the error.
        again: whether the same command would execute the run again, because its machine failed and not the run.
    """

    run: RunT
    record: RecordT | None = None
    error: str = ""
    log: Path | None = None
    again: bool = False


class Store(Protocol[_RunT, _MeasuredT, _RecordT]):
    """Where records are written and read."""

    def read(self, run: _RunT, /) -> _RecordT | None:
        """Return the run's record; None if the run is to be executed."""

    def write(self, run: _RunT, measured: _MeasuredT, /) -> _RecordT:
        """Write and return the record of a run.

        Raises:
            ValueError: the measurements are no record, which is a failure of the run.
            OutputError: the record cannot be written, which is not.
        """


class View(Generic[RunT, RecordT]):
    """Observer of a sweep; this one ignores all events."""

    def started(self, run: RunT) -> None:
        """Called when a run starts here."""

    def progress(self, run: RunT, progress: Progress) -> None:
        """Called with the progress of a run that is under way here."""

    def done(self, outcome: Outcome[RunT, RecordT]) -> None:
        """Called when a run has ended, here or in another sweep."""


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
    """Execute `runs`; a record is written as soon as its run is done.

    Args:
        runs: the runs.
        output: folder of the sweep.
        executor: executes the runs.
        store: records of the sweep.
        view: observer.
        retry_failed: execute the runs again that failed before; otherwise they are among the outcomes, as failed.
        fail_fast: end with the first failure.
        remember_failures: skip the runs that fail now in the next call.

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
        """Start runs while there are free slots."""
        for run in self._in_order(list(todo.values())):
            if len(self.running) >= self.executor.slots or self.stopped:
                return
            lease = self.leases.acquire(run)
            if lease is None:
                continue
            del todo[run.id]
            known = self._known(run)  # another sweep may have ended it since the last look
            if known is None:
                self.running[run.id] = run, lease
                self.view.started(run)
                self.executor.start(run)
            else:
                lease.release()
                self._end(known)

    def _in_order(self, runs: list[RunT]) -> Iterator[RunT]:
        """Yield last the runs that would wait for the shared work of a run under way."""
        busy = {run.shared_work for run, _ in self.running.values()}
        yield from (run for run in runs if run.shared_work not in busy)
        yield from (run for run in runs if run.shared_work in busy)

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
    """Register as a sweep of a folder; the first one deletes what killed sweeps have left there.

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
