"""Work and a run of almost no imports, for processes that a test starts anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elmo_mf.experiments import Report, Result


@dataclass(frozen=True)
class LightRun:
    """A run with a name only."""

    name: str
    id: str = "0" * 64
    shared_work: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.name


def nothing(run: LightRun, output: Path, report: Report) -> Result[None]:
    """Execute a run that does nothing."""
    return Result()
