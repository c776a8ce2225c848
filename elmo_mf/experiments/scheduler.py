"""Run the runs of a sweep that are not recorded yet: each exactly once, whoever else runs the same sweep.

Or measure the times of recorded ones again.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from elmo_mf.experiments.attempt import Result
from elmo_mf.experiments.executors import Executor
from elmo_mf.experiments.failures import Failures
from elmo_mf.experiments.leases import Claim, Claims
from elmo_mf.experiments.workspace import Progress
from elmo_mf.io import OutputError
from elmo_mf.io.locks import acquire
from elmo_mf.records.store import ResultStore
from elmo_mf.tasks.grid import Run

_POLL = 0.5  # seconds between two looks at what other sweeps have finished
_NOTE = 2.0  # seconds between two notes on a claim


@dataclass(frozen=True)
class Outcome:
    """What became of a run: its record, or an error.

    `log` is the file that tells more of it; `again` whether the same command would run the run again, because not the
    run failed but its machine.
    """

    run: Run
    record: dict[str, Any] | None = None
    error: str = ""
    log: Path | None = None
    again: bool = False


class View(Protocol):
    """Who watches a sweep."""

    def started(self, run: Run) -> None:
        """A run begins."""

    def progress(self, run: Run, progress: Progress) -> None:
        """A run goes on."""

    def done(self, outcome: Outcome) -> None:
        """A run has ended, here or in another sweep."""


class Unwatched:
    """A view that shows nothing."""

    def started(self, run: Run) -> None: ...

    def progress(self, run: Run, progress: Progress) -> None: ...

    def done(self, outcome: Outcome) -> None: ...


def run_sweep(
    runs: list[Run],
    output: Path,
    executor: Executor,
    view: View | None = None,
    *,
    retry_failed: bool = False,
    fail_fast: bool = False,
    retime: Callable[[dict[str, Any]], bool] | None = None,
) -> list[Outcome]:
    """Run `runs`; a record is written as soon as its run is done.

    Args:
        retry_failed: run the runs again that failed before; else they are among the outcomes, as failed.
        fail_fast: end with the first failure.
        retime: run the runs whose record it picks, with an executor that measures times alone (`attempt_times`); the
            rest of the record is kept, and what fails is not remembered.

    Returns:
        The outcomes in the order in which they came; fewer than `runs` where `fail_fast` or a full disk ended it.

    Raises:
        OSError: `output` cannot be written to. Records of the runs that were done before are kept.
    """
    with present(output):
        sweep = _Sweep(output, executor, view or Unwatched(), fail_fast, retime)
        try:
            return sweep.all(runs, retry_failed)
        finally:
            sweep.end()


class _Sweep:
    def __init__(
        self,
        output: Path,
        executor: Executor,
        view: View,
        fail_fast: bool,
        retime: Callable[[dict[str, Any]], bool] | None,
    ) -> None:
        self.retime = retime
        self.store, self.failures, self.claims = ResultStore(output), Failures(output), Claims(output)
        self.executor, self.view, self.fail_fast = executor, view, fail_fast
        self.running: dict[str, tuple[Run, Claim]] = {}
        self.noted: dict[str, float] = {}
        self.outcomes: list[Outcome] = []
        self.stopped = False

    def all(self, runs: list[Run], retry_failed: bool) -> list[Outcome]:
        todo = {run.id: run for run in runs}
        if retry_failed:
            for run in runs:
                self.failures.clear(run)
        while (todo or self.running) and not self.stopped:
            self._fill(todo)
            if self.running:
                for run, news in self.executor.events(_POLL):
                    self._hear(run, news)
            elif todo:  # which other sweeps are running
                time.sleep(_POLL)
        return self.outcomes

    def _fill(self, todo: dict[str, Run]) -> None:
        """Start runs while there are free places."""
        for run in self._in_order(list(todo.values())):
            if len(self.running) >= self.executor.slots or self.stopped:
                return
            claim = self.claims.take(run)
            if claim is None:
                continue
            del todo[run.id]
            known = self._known(run)  # perhaps another sweep's, since we looked
            if known is None:
                self.running[run.id] = run, claim
                self.view.started(run)
                self.executor.start(run)
            else:
                claim.release()
                self._end(known)

    def _in_order(self, runs: list[Run]) -> Iterator[Run]:
        """Before others those that need other activations than the runs under way, which would wait for them."""
        busy = {run.activations_id for run, _ in self.running.values()}
        yield from (run for run in runs if run.activations_id not in busy)
        yield from (run for run in runs if run.activations_id in busy)

    def _known(self, run: Run) -> Outcome | None:
        record, failure = self.store.read(run), self.failures.of(run)
        if record is not None:
            return None if self.retime is not None and self.retime(record) else Outcome(run, record)
        return None if failure is None else Outcome(run, error=failure.error, log=failure.log)

    def _hear(self, run: Run, news: Progress | Result) -> None:
        claim = self.running[run.id][1]
        if isinstance(news, Progress):
            self.view.progress(run, news)
            if time.monotonic() - self.noted.get(run.id, 0.0) > _NOTE:
                self.noted[run.id] = time.monotonic()
                claim.note(asdict(news))
            return
        try:
            outcome = self._settle(run, news)
        except OutputError as error:  # the run is not to blame
            raise OSError(f"{run}: {error}") from error
        del self.running[run.id]
        claim.release()
        self._end(outcome)

    def _settle(self, run: Run, result: Result) -> Outcome:
        """Write the record or the failure."""
        if result.record is not None:
            try:
                record = (self.store.update if self.retime else self.store.write)(run, result.record)
            except OutputError:
                raise
            except ValueError as error:
                result = Result(error=str(error))
            else:
                self.failures.clear(run)
                return Outcome(run, record)
        if result.fault == "disk":
            raise OSError(f"{run}: {result.error}")
        again = bool(result.fault or self.retime)
        failure = self.failures.write(run, result.error, result.log, remembered=not again)
        return Outcome(run, error=failure.error, log=failure.log, again=again)

    def _end(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.view.done(outcome)
        self.stopped = self.stopped or (self.fail_fast and bool(outcome.error))

    def end(self) -> None:
        self.executor.stop()
        for _, claim in self.running.values():
            claim.release()
        self.running.clear()


@contextlib.contextmanager
def present(output: Path) -> Iterator[None]:
    """Be known as a sweep of this folder; the first of them clears away what killed ones have left.

    A process may enter it again while it is in it.
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
