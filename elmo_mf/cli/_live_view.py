"""Progress of a running sweep: bars on a terminal, plain lines elsewhere, nothing if it is quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Column

from elmo_mf.errors import visible
from elmo_mf.experiments import Outcome, Progress, View
from elmo_mf.records import Record, Run


class _Lines(View[Run, Record]):
    """Print a line for each finished run."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def done(self, outcome: Outcome[Run, Record]) -> None:
        self.console.print(visible(line(outcome)), markup=False, emoji=False)


class _Live(_Lines):
    """Show a bar for the sweep and one for each running run, below the lines of finished runs."""

    def __init__(self, bars: Bars, total: int, before: int) -> None:
        super().__init__(bars.console)
        self.bars = bars
        self.sweep = bars.add_task("", total=total, completed=before, text=f"{before}/{total} runs")
        self.total, self.count = total, before
        self.runs: dict[str, TaskID] = {}

    def started(self, run: Run) -> None:
        self.runs[run.id] = self.bars.add_task("", total=1.0, text=f"{run}: starting")

    def progress(self, run: Run, progress: Progress) -> None:
        numbers = [f"loss {progress.loss:.3f}"] if progress.loss is not None else []
        if progress.metric is not None:
            numbers.append(f"{run.primary} {progress.metric:.3f}")
        text = f"{run}: {' '.join([progress.phase, *numbers])}"
        share = 1.0 if progress.phase in ("scoring", "measuring") else progress.share
        self.bars.update(self.runs[run.id], completed=share, text=text)

    def done(self, outcome: Outcome[Run, Record]) -> None:
        super().done(outcome)
        bar = self.runs.pop(outcome.run.id, None)
        if bar is not None:
            self.bars.remove_task(bar)
        self.count += 1
        self.bars.update(self.sweep, completed=self.count, text=f"{self.count}/{self.total} runs")


@contextmanager
def live_view(total: int, before: int, quiet: bool) -> Iterator[View[Run, Record]]:
    """Provide the view of a sweep.

    Args:
        total: Number of its runs.
        before: Number of them that were recorded when it began.
        quiet: Whether to show nothing.
    """
    console = Console(soft_wrap=True, highlight=False)
    if quiet:
        yield View()
    elif not console.is_terminal:
        yield _Lines(console)
    else:
        text = TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        columns = (BarColumn(), TimeElapsedColumn(), text)
        with Bars(*columns, console=console) as bars:
            yield _Live(bars, total, before)


def line(outcome: Outcome[Run, Record]) -> str:
    """Describe the outcome of a run in one line."""
    record = outcome.record
    if record is None:
        return f"{outcome.run}: FAILED {outcome.error}"
    primary = outcome.run.primary
    speed = "" if record.latency is None else f", encoder {record.latency.encoder['1'].speed_up:.2f}x"
    took = "" if record.timed else f", {record.seconds:.0f} s"  # the duration of the scored run
    return f"{outcome.run}: {primary} {record.score:.4f}{speed}{took}"
