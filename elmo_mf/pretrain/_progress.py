"""Progress of a training run: metrics after each step, and TensorBoard logs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LOG_STEPS = 10


@dataclass
class StepMetrics:
    """Metrics after a step, for a progress bar."""

    step: int
    steps: int
    words_per_second: float
    perplexity: float


class TensorBoardLog:
    """Writes TensorBoard logs to a folder, if there is one.

    Args:
        folder: The folder; None to write nothing.
        step: Number of steps done, after which logs of an interrupted run are dropped.
    """

    def __init__(self, folder: Path | None, step: int) -> None:
        self._writer: Any = None
        if folder is not None:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=step)

    def step(self, progress: StepMetrics, learning_rate: float) -> None:
        """Log the metrics of every tenth step."""
        if self._writer is not None and progress.step % _LOG_STEPS == 0:
            values = {
                "train/perplexity": progress.perplexity,
                "train/words_per_second": progress.words_per_second,
                "train/learning_rate": learning_rate,
            }
            self._write(progress.step, values)

    def epoch(self, step: int, perplexity: dict[str, float]) -> None:
        """Log the held-out perplexities, `forward` and `backward`."""
        if self._writer is not None:
            self._write(step, {f"held_out/{name}": perplexity[name] for name in ("forward", "backward")})

    def _write(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the files."""
        if self._writer is not None:
            self._writer.close()
