"""Settings of the search for the fastest form of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elmo_mf.errors import InputError

BATCHES = (1, 32)
"""Sizes of the batches that are timed."""


@dataclass(frozen=True)
class SearchSettings:
    """Settings of the search for the fastest form of a model.

    Attributes:
        data: Labelled data in the training data's format, on which forms are compared.
        tolerance: Largest acceptable loss in points, hundredths of the metric. Defaults to 0.5.
        metric: Metric to compare, prefixed with - if lower is better. Defaults to that of the training.
        text: Tokenised text on which the compressed forms are distilled. Defaults to none.
        test: Held-out labelled data on which the original and the result are scored once. Defaults to none.
        batch: Batch size whose speed decides, 1 or 32. Defaults to 1.
        seconds: Duration of each measurement of speed in seconds. Defaults to 2.
        limit: Number of examples of `data` to use. Defaults to all.
        calibration: Tokenised text to which the compressed forms are fitted, ideally like the model's own. Defaults
            to `text`, or else to the short general one that comes with this package.
    """

    data: str | Path
    tolerance: float = 0.5
    metric: str | None = None
    text: str | Path | None = None
    test: str | Path | None = None
    batch: int = 1
    seconds: float = 2.0
    limit: int | None = None
    calibration: str | Path | None = None

    def check(self) -> None:
        """Raise an `InputError` if a file is missing or no speed is measured at the batch size."""
        if self.batch not in BATCHES:
            raise InputError("batch", f"found {self.batch}, expected {' or '.join(map(str, BATCHES))}")
        for name in ("data", "test", "text", "calibration"):
            path = getattr(self, name)
            if path is not None and not Path(path).exists():
                raise InputError(name, f"found {path}, which does not exist, expected a file")
            if name in ("text", "calibration") and path is not None and Path(path).is_dir():
                raise InputError(name, f"found the folder {path}, expected a file")


def search_folder(out: Path) -> Path:
    """Return the folder in which an unfinished search for the result `out` keeps its measurements."""
    return out.with_name(f"{out.name}.parts")
