"""The sweep engine's view of a run: its identity, progress and result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar


class Run(Protocol):
    """A unit of work that is executed and recorded once. `str(run)` is its display label."""

    @property
    def id(self) -> str:
        """Hash of everything that the run's result depends on."""

    @property
    def name(self) -> str:
        """Unique name that is valid in a file name."""

    @property
    def shared_work(self) -> frozenset[str]:
        """Keys of work that runs share, such as an encoder's activations; one run does it while the others wait."""


RunT = TypeVar("RunT", bound=Run)
MeasuredT = TypeVar("MeasuredT")
MeasuredT_co = TypeVar("MeasuredT_co", covariant=True)
RecordT = TypeVar("RecordT")


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes:
        phase: What the run is doing, such as `training`.
        share: Completed share of the phase, from 0 to 1.
        loss: Latest training loss.
        metric: Latest validation score.
    """

    phase: str
    share: float = 0.0
    loss: float | None = None
    metric: float | None = None


@dataclass(frozen=True)
class Result(Generic[MeasuredT_co]):
    """Result of an attempt at a run: either its measurements or an error.

    Attributes:
        measured: Measurements; None if the attempt failed.
        error: Why the attempt failed, in one line; empty if it did not.
        log: End of the log, if the attempt failed.
        fault: `memory`, `disk` or `killed` if the machine failed, so that the same command executes the run again;
            empty if the run itself failed and would fail again.
    """

    measured: MeasuredT_co | None = None
    error: str = ""
    log: str = ""
    fault: str = ""


Report: TypeAlias = Callable[[Progress], None]
"""Function that a run calls with its progress."""

Work: TypeAlias = Callable[[Any, Path, Report], Result[MeasuredT]]
"""Picklable function that executes a run, with scratch and cache below an output folder."""
