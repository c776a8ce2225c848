"""Interface of an executor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic

from elmo_mf.experiments._runs import MeasuredT, Progress, Result, RunT


class Executor(ABC, Generic[RunT, MeasuredT]):
    """Executes runs, without access to records, leases or the remaining runs."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """Number of runs that can be in progress at a time."""

    @abstractmethod
    def start(self, run: RunT) -> None:
        """Start a run."""

    @abstractmethod
    def events(self, timeout: float) -> Iterator[tuple[RunT, Progress | Result[MeasuredT]]]:
        """Yield events of runs in progress, waiting at most `timeout` seconds; a run's last event is its `Result`."""

    @abstractmethod
    def stop(self) -> None:
        """End the runs in progress and discard their results."""
