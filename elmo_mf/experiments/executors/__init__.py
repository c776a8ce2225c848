"""Where cells run: in processes on this machine (`local`), or on a Ray cluster (`cluster`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from elmo_mf.experiments.attempt import Result
from elmo_mf.experiments.workspace import Progress
from elmo_mf.tasks.grid import Cell


class Executor(Protocol):
    """Runs cells; knows nothing of records, claims and what is left to do."""

    @property
    def slots(self) -> int:
        """How many cells may be under way at a time."""

    def start(self, cell: Cell) -> None:
        """Begin a cell."""

    def events(self, timeout: float) -> Iterator[tuple[Cell, Progress | Result]]:
        """News of the cells under way, at once or within `timeout` seconds; each cell ends with one `Result`."""

    def stop(self) -> None:
        """End what is under way; nothing of it is kept."""
