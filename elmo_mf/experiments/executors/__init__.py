"""Where runs run: in processes on this machine (`local`), or on a Ray cluster (`cluster`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from elmo_mf.experiments.attempt import Result
from elmo_mf.experiments.workspace import Progress
from elmo_mf.tasks.grid import Run


class Executor(Protocol):
    """Runs runs; knows nothing of records, claims and what is left to do."""

    @property
    def slots(self) -> int:
        """How many runs may be under way at a time."""

    def start(self, run: Run) -> None:
        """Start a run."""

    def events(self, timeout: float) -> Iterator[tuple[Run, Progress | Result]]:
        """News of the runs under way, at once or within `timeout` seconds; each run ends with one `Result`."""

    def stop(self) -> None:
        """End what is under way; nothing of it is kept."""
