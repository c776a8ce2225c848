"""Where runs are executed: in processes on this machine (`local`), or on a Ray cluster (`cluster`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic

from elmo_mf.experiments.runs import MeasuredT, Progress, Result, RunT


class Executor(ABC, Generic[RunT, MeasuredT]):
    """Executes runs; knows nothing of records, leases and the runs that are left."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many runs can be under way at a time."""

    @abstractmethod
    def start(self, run: RunT) -> None:
        """Start a run."""

    @abstractmethod
    def events(self, timeout: float) -> Iterator[tuple[RunT, Progress | Result[MeasuredT]]]:
        """Yield the events of the runs under way, waiting at most `timeout` seconds; a run's last is its `Result`."""

    @abstractmethod
    def stop(self) -> None:
        """End the runs under way; nothing of them is kept."""
