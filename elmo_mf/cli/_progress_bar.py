"""Progress of long commands: bars on a terminal, else a line for each stage and for each minute of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from elmo_mf.cli._terminal import echo
from elmo_mf.progress import Advance, silent, stage

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

    from elmo_mf.experiments import Progress as RunProgress
    from elmo_mf.experiments import Report

LINE_SECONDS = 60.0
"""Shortest time between two lines of one stage, without a terminal."""


@contextmanager
def progress_bar(*columns: ProgressColumn, transient: bool = False) -> Iterator[Progress]:
    """Provide a progress bar that is shown only on a terminal; print through its console."""
    from rich.progress import Progress

    from elmo_mf.cli._console import Console

    bar = Progress(*columns, console=Console(soft_wrap=True), transient=transient)
    if bar.console.is_terminal:
        with bar:
            yield bar
    else:
        yield bar


class Stages:
    """Shows the stages of computations: as bars that vanish at their ends, or as lines without a terminal.

    Args:
        line_seconds: Shortest time between two lines of one stage, without a terminal.
    """

    def __init__(self, line_seconds: float = LINE_SECONDS) -> None:
        self._line_seconds = line_seconds
        self._bar: Progress | None = None

    @contextmanager
    def __call__(self, name: str, steps: float, unit: str) -> Iterator[Advance]:
        """Show a stage, see `elmo_mf.progress.Reporter`."""
        if self._bar is not None:  # inside another stage
            yield self._row(self._bar, name, steps, unit)
            return
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[counted]}")
        with progress_bar(
            *columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}", markup=False), transient=True
        ) as bar:
            self._bar = bar
            try:
                yield self._row(bar, name, steps, unit)
            finally:
                self._bar = None

    def _row(self, bar: Progress, name: str, total: float, unit: str) -> Advance:
        """Add a stage to a bar, or print it."""
        if not bar.console.is_terminal:
            return _Lines(name, total, unit, self._line_seconds)
        row = bar.add_task(name, total=total, counted=f"0/{total:,.0f}", note="")

        def advance(steps: float = 1, note: str = "") -> None:
            completed = bar.tasks[bar.task_ids.index(row)].completed + steps
            bar.update(row, completed=completed, counted=f"{completed:,.0f}/{total:,.0f}", note=note)

        return advance


@contextmanager
def phases_shown() -> Iterator[Report]:
    """Provide a function that shows the phases of a run as stages."""
    with ExitStack() as stack:
        yield _Phases(stack)


class _Phases:
    """Shows each phase as a stage, which ends when the next one begins.

    Args:
        stack: Ends the last stage.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._phase, self._per_cent, self._advance = "", 0.0, silent

    def __call__(self, progress: RunProgress) -> None:
        if progress.phase != self._phase:
            self._stack.close()
            self._phase, self._per_cent = progress.phase, 0.0
            self._advance = self._stack.enter_context(stage(progress.phase, 100, "%"))
        per_cent = 100 * progress.share
        self._advance(per_cent - self._per_cent, "" if progress.loss is None else f"loss {progress.loss:.4f}")
        self._per_cent = per_cent


class _Lines:
    """Prints a stage when it begins, and then what is done, at most once in `line_seconds`."""

    def __init__(self, name: str, total: float, unit: str, line_seconds: float) -> None:
        self._name, self._total, self._unit, self._line_seconds = name, total, unit, line_seconds
        self._completed, self._printed = 0.0, time.monotonic()
        echo(name if total == 1 or unit == "%" else f"{name}: {total:,.0f} {unit}")

    def __call__(self, steps: float = 1, note: str = "") -> None:
        self._completed += steps
        now = time.monotonic()
        if now - self._printed >= self._line_seconds:
            self._printed = now
            counted = f"{self._completed:,.0f} %" if self._unit == "%" else self._counted()
            echo(f"{self._name}: {counted}" + (f", {note}" if note else ""))

    def _counted(self) -> str:
        return f"{self._completed:,.0f} of {self._total:,.0f} {self._unit}"
