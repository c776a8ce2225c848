"""Trackers whose errors do not reach the runs that they log."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TypeVar

from elmo_mf.errors import one_line
from elmo_mf.trackers.tracker import RunLog, TrackedRun, Tracker

_Result = TypeVar("_Result")


class GuardedTracker:
    """Logs to a tracker until it raises an error, which becomes a warning; afterwards it has every run.

    Args:
        name: Name of the tracker, for the warning.
        tracker: The tracker.
    """

    def __init__(self, name: str, tracker: Tracker) -> None:
        self._name, self._tracker, self._failed = name, tracker, False

    def has(self, run: TrackedRun) -> bool:
        """See `Tracker.has`."""
        return self.call(lambda: self._tracker.has(run), True)

    def start(self, run: TrackedRun, step: int) -> RunLog:
        """See `Tracker.start`."""
        return _GuardedLog(self, self.call(lambda: self._tracker.start(run, step), None))

    def call(self, use: Callable[[], _Result], otherwise: _Result) -> _Result:
        """Return the result of using the tracker.

        Args:
            use: Uses it.
            otherwise: Returned instead if that fails, or anything has failed before.
        """
        if self._failed:
            return otherwise
        try:
            return use()
        except Exception as error:
            self._failed = True
            warnings.warn(f"the tracker {self._name} failed and logs nothing more: {one_line(error)}", stacklevel=2)
            return otherwise


class _GuardedLog:
    def __init__(self, guard: GuardedTracker, log: RunLog | None) -> None:
        self._guard, self._log = guard, log

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        if (log := self._log) is not None:
            self._guard.call(lambda: log.metrics(values, step), None)

    def finish(self) -> None:
        if (log := self._log) is not None:
            self._guard.call(log.finish, None)
