"""Progress of a training run: metrics after each step, and the log of a tracker."""

from __future__ import annotations

from dataclasses import dataclass

from elmo_mf.records.pretraining import Epoch
from elmo_mf.trackers import RunLog, TrackedRun, Tracker

_LOG_STEPS = 10


@dataclass
class StepMetrics:
    """Metrics after a step, for a progress bar."""

    step: int
    steps: int
    words_per_second: float
    perplexity: float


class TrainingLog:
    """Logs a training run to a tracker, if there is one.

    Args:
        tracker: The tracker; None to log nothing.
        run: The run; if it was logged to its end, it is not logged again.
        step: Number of steps done, after which logs of an interrupted run are dropped.
    """

    def __init__(self, tracker: Tracker | None, run: TrackedRun, step: int) -> None:
        self._log: RunLog | None = None
        if tracker is not None and not tracker.has(run):
            self._log = tracker.start(run, step)

    def step(self, progress: StepMetrics, learning_rate: float) -> None:
        """Log the metrics of every tenth step."""
        if self._log is not None and progress.step % _LOG_STEPS == 0:
            values = {
                "train/perplexity": progress.perplexity,
                "train/words_per_second": progress.words_per_second,
                "train/learning_rate": learning_rate,
            }
            self._log.metrics(values, progress.step)

    def epoch(self, step: int, epoch: Epoch) -> None:
        """Log the held-out perplexities."""
        if self._log is not None:
            self._log.metrics({"held_out/forward": epoch.forward, "held_out/backward": epoch.backward}, step)

    def finish(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.finish()
