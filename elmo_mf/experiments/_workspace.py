"""Workspace of a run: a scratch folder with a log, the shared cache and the machine lock."""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from elmo_mf.experiments._cache import Cache
from elmo_mf.experiments._machine_lock import MachineLock
from elmo_mf.experiments._runs import Progress, Report
from elmo_mf.io import scratch

T = TypeVar("T")

DEFAULT_CACHE_BYTES = 1_000_000_000
REPORT_SECONDS = 0.5
"""Minimum seconds between two reports of the same phase."""


@dataclass
class Workspace:
    """Workspace of one run; see `workspace`.

    Attributes:
        folder: Scratch folder, deleted at the end.
        cache: Cache that the runs of the output folder share.
        machine: Machine lock, held shared.
        report: Called with the run's progress.
        report_seconds: Minimum seconds between two reports of the same phase.
        phases: Seconds spent in each phase.
    """

    folder: Path
    cache: Cache
    machine: MachineLock
    report: Report
    report_seconds: float = REPORT_SECONDS
    phases: dict[str, float] = field(default_factory=dict)
    _last: tuple[float, str] = (0.0, "")

    @property
    def log(self) -> Path:
        """The log file."""
        return self.folder / "out.log"

    def step(self, progress: Progress) -> None:
        """Yield to a waiting measurement and report progress; call it between two steps of work."""
        self.machine.yield_to_measurement()
        now = time.monotonic()
        if progress.phase != self._last[1] or now - self._last[0] >= self.report_seconds:
            self._last = now, progress.phase
            self.report(progress)

    def steps(self, phase: str, items: Sequence[T]) -> Iterator[T]:
        """Iterate over items, with a `step` before each that reports the phase and its share."""
        for number, item in enumerate(items):
            self.step(Progress(phase, number / len(items)))
            yield item

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Report a phase and add the duration of the context to `phases`."""
        self.step(Progress(name))
        started = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = round(self.phases.get(name, 0.0) + time.perf_counter() - started, 3)


@contextlib.contextmanager
def workspace(
    output: Path,
    name: str = "work",
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    report: Report = lambda _: None,
    report_seconds: float = REPORT_SECONDS,
) -> Iterator[Workspace]:
    """Create a workspace below `output`; everything except the cache is deleted at the end.

    Log messages go to the workspace's log file instead of the console.

    Args:
        output: Folder of the sweep.
        name: Prefix of the scratch folder's name.
        cache_bytes: Size limit of the shared cache, in bytes; 0 for none.
        report: Called with the run's progress.
        report_seconds: Minimum seconds between two reports of the same phase.
    """
    running = output / "running"
    running.mkdir(parents=True, exist_ok=True)
    cache = Cache(output, cache_bytes, machine := MachineLock(output))
    with machine, scratch(running, name) as folder, contextlib.closing(cache):
        work = Workspace(folder, cache, machine, report, report_seconds)
        with _logging_to(work.log):
            yield work


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            root.handlers = handlers
            root.setLevel(level)
            handler.close()
