"""The factored checkpoints of a sweep: each is made once, in `OUTPUT/encoders/`, for all cells that run it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from elmo_mf.bilm import Bilm, BilmOptions, read_weights
from elmo_mf.bilm.checkpoint import atomic_path
from elmo_mf.factorize.calibration import CALIBRATION_TEXT
from elmo_mf.factorize.report import compression_report
from elmo_mf.harness.grid import Cell, SweepSpec


@dataclass(frozen=True)
class Encoder:
    """A checkpoint's files, and what compressing it did; nothing of a dense one."""

    options: str
    weights: str
    report: dict[str, Any]

    def load(self) -> Bilm:
        return Bilm.from_files(self.options, self.weights)


def encoder_of(spec: SweepSpec, cell: Cell, output: Path) -> Encoder:
    """The encoder that a cell runs, made now if no cell has run it yet."""
    if cell.compression is None:
        return Encoder(spec.options, spec.weights, {})
    depends: tuple[str, ...] = ("elmo", "compression", "elmo_mf")
    if cell.compression.factorizer.needs_gradients:
        depends += ("task", "data", "config")
    about = {key: cell.identity[key] for key in depends}
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    folder = output / "encoders" / name
    if not folder.exists():
        _make(spec, cell, output, folder)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return Encoder(str(folder / "options.json"), str(folder / "weights.hdf5"), report)


def _make(spec: SweepSpec, cell: Cell, output: Path, folder: Path) -> None:
    compression = cell.compression
    assert compression is not None
    if compression.factorizer.needs_gradients and compression.gradients is None:
        from elmo_mf.harness.gradients import gradients_of

        compression = replace(compression, gradients=str(gradients_of(spec, cell, output)))
    options = BilmOptions.from_file(spec.options)
    dense = read_weights(spec.weights, options)
    started = time.perf_counter()
    compressed = compression.apply(dense, options)
    seconds = time.perf_counter() - started
    report = compression_report(dense, compressed, options, Path(compression.calibration or CALIBRATION_TEXT))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as work:
        Bilm(compression.noted_in(options), compressed).save(work)
        with atomic_path(Path(work) / "report.json") as path:
            path.write_text(json.dumps(report | {"seconds": round(seconds, 2)}, indent=2) + "\n", encoding="utf-8")
        with contextlib.suppress(OSError):  # another sweep has put it there meanwhile
            Path(work).rename(folder)
            Path(work).mkdir()  # for TemporaryDirectory to remove
