"""Compressed checkpoints of a sweep, each built once in the cache for all runs that use it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elmo_mf.bilm import Bilm, BilmOptions, read_weights
from elmo_mf.compression import compress, method_of, with_history
from elmo_mf.compression.calibration.input_covariances import CALIBRATION_TEXT
from elmo_mf.compression.report import compression_report
from elmo_mf.errors import InputError
from elmo_mf.experiments.cache import MAX_JSON_BYTES
from elmo_mf.experiments.workspace import Workspace
from elmo_mf.io import read_json
from elmo_mf.records.run import Run
from elmo_mf.tasks.spec import SweepSpec

TaskGradients = Callable[[SweepSpec, Run, Workspace], Path]
"""Function that returns the file of a task's gradients in the dense encoder, after training a model with it."""


@dataclass(frozen=True)
class Encoder:
    """Files of a checkpoint and the report of its compression, which is empty for a dense encoder."""

    options: str
    weights: str
    report: dict[str, Any]

    def load(self) -> Bilm:
        return Bilm.from_files(self.options, self.weights)


def encoder_of(spec: SweepSpec, run: Run, workspace: Workspace, gradients: TaskGradients) -> Encoder:
    """Return the encoder of a run, compressing it if it is not cached.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
        gradients: Returns the file of the task's gradients if the method needs one and the compression names none.
    """
    if run.compression is None:
        return Encoder(spec.options, spec.weights, {})

    def make(folder: Path) -> None:
        _make(spec, run, workspace, gradients, folder)

    return workspace.cache.load("encoders", run.encoder_id[:32], make, _read)


def _read(folder: Path) -> Encoder:
    report = read_json(folder / "report.json", "cached report", "what a compression did", most=MAX_JSON_BYTES)
    if not isinstance(report, dict):
        raise InputError(f"{folder / 'report.json'}: found no object, expected what a compression did")
    BilmOptions.from_file(folder / "options.json")
    return Encoder(str(folder / "options.json"), str(folder / "weights.hdf5"), report)


def _make(spec: SweepSpec, run: Run, workspace: Workspace, gradients: TaskGradients, folder: Path) -> None:
    compression = run.compression
    assert compression is not None
    if method_of(compression).needs_gradients and compression.gradients is None:
        compression = compression.model_copy(update={"gradients": str(gradients(spec, run, workspace))})
    options = BilmOptions.from_file(spec.options)
    dense = read_weights(spec.weights, options)
    started = time.perf_counter()
    compressed = compress(dense, options, compression)
    seconds = time.perf_counter() - started
    report = compression_report(dense, compressed, options, Path(compression.calibration or CALIBRATION_TEXT))
    workspace.cache.make_room(4 * report.size.encoder_parameters)
    Bilm(with_history(options, compression), compressed).save(folder)
    (folder / "report.json").write_text(json.dumps(report.to_dict() | {"seconds": round(seconds, 2)}), encoding="utf-8")
