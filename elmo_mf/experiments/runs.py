"""What the sweep engine knows of a run: its identity, its progress and its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar


class Run(Protocol):
    """A unit of work that is executed and recorded once. `str(run)` is its label for people."""

    @property
    def id(self) -> str:
        """Hash of everything that its result depends on."""

    @property
    def name(self) -> str:
        """Unique name that can be part of a file name."""

    @property
    def shared_work(self) -> str:
        """Key of the work that runs share, such as the activations of an encoder: one does it, the others wait."""


RunT = TypeVar("RunT", bound=Run)
MeasuredT = TypeVar("MeasuredT")
MeasuredT_co = TypeVar("MeasuredT_co", covariant=True)
RecordT = TypeVar("RecordT")


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes:
        phase: what it is doing, such as `training`.
        share: share of the phase that is done, from 0 to 1.
        loss: latest training loss.
        metric: latest validation score.
    """

    phase: str
    share: float = 0.0
    loss: float | None = None
    metric: float | None = None


@dataclass(frozen=True)
class Result(Generic[MeasuredT_co]):
    """Result of an attempt at a run: either what it measured or an error.

    Attributes:
        measured: the measurements; None if the attempt failed.
        error: why it failed, in one line; empty if it did not.
        log: end of its log, if it failed.
        fault: empty if the run itself failed and would fail again; `memory`, `disk` or `killed` if its machine did, so
            that the next call of the same command runs it again.
    """

    measured: MeasuredT_co | None = None
    error: str = ""
    log: str = ""
    fault: str = ""


Report: TypeAlias = Callable[[Progress], None]
"""Function that a run calls with its progress."""

Work: TypeAlias = Callable[[Any, Path, Report], Result[MeasuredT]]
"""Picklable function that executes a run, with scratch and cache below an output folder."""
