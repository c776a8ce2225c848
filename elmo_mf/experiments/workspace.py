"""What a process needs to run a run: a scratch folder with its log, the shared cache, its turn, and who to tell."""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from elmo_mf.experiments.cache import Cache
from elmo_mf.experiments.machine_lock import Turn
from elmo_mf.io import scratch


@dataclass(frozen=True)
class Progress:
    """How far a run is: its phase, the share of its training that is done, its loss, and its metric so far."""

    phase: str
    share: float = 0.0
    loss: float | None = None
    metric: float | None = None


_OFTEN = 0.5  # seconds between two reports of the same phase


@dataclass
class Workspace:
    """Made by `workspace`. `phases` counts the seconds of each phase."""

    folder: Path
    cache: Cache
    turn: Turn
    report: Callable[[Progress], None]
    phases: dict[str, float] = field(default_factory=dict)
    _last: tuple[float, str] = (0.0, "")

    @property
    def log(self) -> Path:
        return self.folder / "out.log"

    def step(self, progress: Progress) -> None:
        """Between two steps of work: rest if somebody wants to measure, and tell how far it is."""
        self.turn.rest()
        now = time.monotonic()
        if progress.phase != self._last[1] or now - self._last[0] >= _OFTEN:
            self._last = now, progress.phase
            self.report(progress)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A part of a run; what it lasts is noted."""
        self.step(Progress(name))
        started = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = round(self.phases.get(name, 0.0) + time.perf_counter() - started, 3)


@contextlib.contextmanager
def workspace(
    output: Path, name: str = "work", cache_mb: float = 1000, report: Callable[[Progress], None] = lambda _: None
) -> Iterator[Workspace]:
    """A workspace below `output`, gone at the end but for the cache; logs go to its file, and not to the console."""
    running = output / "running"
    running.mkdir(parents=True, exist_ok=True)
    cache = Cache(output, int(cache_mb * 1e6), turn := Turn(output))
    with turn, scratch(running, name) as folder, contextlib.closing(cache):
        made = Workspace(folder, cache, turn, report)
        with _logging_to(made.log):
            yield made


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
