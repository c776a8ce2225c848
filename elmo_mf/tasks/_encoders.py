"""Compressed checkpoints of a sweep, each built once in the cache for all runs that use it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import Field

from elmo_mf.bilm import Bilm, BilmOptions, read_weights
from elmo_mf.bilm.checkpoint import ROUNDED_DTYPES
from elmo_mf.bilm.choices import Precision
from elmo_mf.compression import (
    compress_elmo,
    compressed_matrices,
    compression_versions,
    size_report,
    takes_gradients,
    with_history,
)
from elmo_mf.compression.calibration import CALIBRATION_TEXT
from elmo_mf.errors import InputError
from elmo_mf.experiments import MAX_JSON_BYTES, Workspace, last_names
from elmo_mf.io.reading import read_bytes
from elmo_mf.io.validation import validated_json
from elmo_mf.records.base_model import Data, Number, PositiveInt
from elmo_mf.records.identity import STORED_TYPES, EncoderIdentity, products_of, unless_first
from elmo_mf.records.record import ActivationError, ElmoInfo, HighwayLayer, Latency, LstmMatrix, Size
from elmo_mf.records.run import Run
from elmo_mf.tasks import _shuffled
from elmo_mf.tasks._producer import MeasuredEncoder
from elmo_mf.tasks.spec import SweepSpec

TaskGradients = Callable[[SweepSpec, Run, Workspace], Path]
"""Function that returns the file of a task's gradients in the dense encoder, after training a model with it."""


class EncoderReport(Data):
    """Report on the compression of an encoder; the defaults are those of a dense one."""

    matrices: list[LstmMatrix] = Field(default_factory=list)
    """Each compressed matrix."""
    highways: list[HighwayLayer] = Field(default_factory=list)
    """Each compressed highway layer."""
    seconds: Number | None = None
    """Seconds of the compression."""
    cells: PositiveInt | None = None
    """Number of memory cells before some were removed; None if none were."""


@dataclass(frozen=True)
class Encoder:
    """Files of a checkpoint, as a run uses them.

    Attributes:
        options: Its options.
        weights: Its weights.
        report: Report of its compression.
        precision: Precision of its products. Defaults to float32.
    """

    options: str
    weights: str
    report: EncoderReport = field(default_factory=EncoderReport)
    precision: Precision = "float32"

    def load(self, word_cache_mb: float = 0) -> Bilm:
        """Read the encoder; `word_cache_mb` is that of `Bilm`."""
        return Bilm.from_files(self.options, self.weights, word_cache_mb=word_cache_mb, precision=self.precision)


def encoder_of(spec: SweepSpec, run: Run, workspace: Workspace, gradients: TaskGradients) -> Encoder:
    """Return the encoder of a run, compressing or shuffling it if it is not cached.

    Args:
        spec: The sweep.
        run: The run.
        workspace: Workspace of the run.
        gradients: Returns the file of the task's gradients if the method needs one and the compression names none.
    """
    precision = run.identity.precision
    if run.identity.baseline == "smaller":
        files = spec.smaller_files()
        return Encoder(str(files.options), str(files.weights))
    if run.compression is None and run.identity.baseline != "shuffled" and precision != "int4":
        return Encoder(spec.options, spec.weights, precision=_products(run))

    def make(folder: Path) -> None:
        if run.compression is not None:
            _make(spec, run, workspace, gradients, folder)
        elif precision == "int4":
            _copy(spec, folder, "int4")
        else:
            _shuffle(spec, folder)

    return replace(workspace.cache.load("encoders", run.encoder_id[:32], make, _read), precision=_products(run))


def _products(run: Run) -> Precision:
    precision = run.identity.precision
    return "float32" if precision is None else products_of(precision)


def measured_encoder(
    spec: SweepSpec, run: Run, bilm: Bilm, report: EncoderReport, error: ActivationError | None, latency: Latency | None
) -> MeasuredEncoder:
    """Combine the measurements of an encoder.

    Args:
        spec: The sweep.
        run: The run.
        bilm: The encoder.
        report: Report of its compression.
        error: Error of its layers' outputs; None if it is dense.
        latency: Its times; None if they are not measured.
    """
    return MeasuredEncoder(
        size=Size.model_validate(
            size_report(bilm.weights(), bilm.options, report.cells, STORED_TYPES[run.identity.precision]).to_dict()
        ),
        activation_error=error,
        matrices=report.matrices,
        highways=report.highways or None,
        factorization_seconds=report.seconds,
        latency=latency,
        elmo=elmo_info(spec),
    )


def encoder_versions(encoder: EncoderIdentity) -> dict[str, int]:
    """Return the versions of the parts that make an encoder from the dense one."""
    if encoder.baseline == "shuffled":
        return unless_first({"shuffled": _shuffled.VERSION})
    return {} if encoder.compression is None else compression_versions(encoder.compression)


def no_gradients(spec: SweepSpec, run: Run, workspace: Workspace) -> Path:
    """Raise an error, because the task has no model to take gradients of.

    Args:
        spec: Unused.
        run: The run, for the error.
        workspace: Unused.

    Raises:
        InputError: Always.
    """
    method = run.compression.method if run.compression else "none"
    raise InputError(
        run,
        "compression.method",
        f"found {method}, which needs gradients of a task's model, expected one that does "
        "not, because this task has no model",
    )


def elmo_info(spec: SweepSpec) -> ElmoInfo:
    """Return the name and sizes of a sweep's ELMo, for records."""
    lstm = BilmOptions.from_file(spec.options).lstm
    return ElmoInfo(
        name=last_names(spec.weights, 2), layers=lstm.n_layers, cell=lstm.dim, projection=lstm.projection_dim
    )


def _shuffle(spec: SweepSpec, folder: Path) -> None:
    options = BilmOptions.from_file(spec.options)
    Bilm(options, _shuffled.shuffled(read_weights(spec.weights, options))).save(folder)
    _write_report(folder, EncoderReport())


def _copy(spec: SweepSpec, folder: Path, dtype: str) -> None:
    options = BilmOptions.from_file(spec.options)
    Bilm(options, read_weights(spec.weights, options)).save(folder, dtype)
    _write_report(folder, EncoderReport())


def _read(folder: Path) -> Encoder:
    path, content = folder / "report.json", "what a compression did"
    raw = read_bytes(path, "cached report", content, most=MAX_JSON_BYTES)
    report = validated_json(EncoderReport, raw, str(path), content)
    BilmOptions.from_file(folder / "options.json")
    return Encoder(str(folder / "options.json"), str(folder / "weights.hdf5"), report)


def _make(spec: SweepSpec, run: Run, workspace: Workspace, gradients: TaskGradients, folder: Path) -> None:
    compression = run.compression
    assert compression is not None
    if takes_gradients(compression) and compression.gradients is None:
        compression = compression.model_copy(update={"gradients": str(gradients(spec, run, workspace))})
    options = BilmOptions.from_file(spec.options)
    dense = read_weights(spec.weights, options)
    started = time.perf_counter()
    compressed = compress_elmo(dense, options, compression)
    seconds = time.perf_counter() - started
    text, smaller = Path(compression.calibration or CALIBRATION_TEXT), compressed.options
    matrices, highways = compressed_matrices(
        compressed.unfactored, compressed.weights, smaller, text, inputs=compressed.inputs
    )
    workspace.cache.make_room(4 * size_report(compressed.weights, smaller).encoder_parameters)
    noted = with_history(smaller, compressed.applied(compression))
    stored = STORED_TYPES[run.identity.precision]
    Bilm(noted, compressed.weights).save(folder, stored if stored in ROUNDED_DTYPES else "float32")
    report = EncoderReport(
        matrices=[LstmMatrix.model_validate(matrix.to_dict()) for matrix in matrices],
        highways=[HighwayLayer.model_validate(layer.to_dict()) for layer in highways],
        seconds=round(seconds, 2),
        cells=None if smaller.lstm.dim == options.lstm.dim else options.lstm.dim,
    )
    _write_report(folder, report)


def _write_report(folder: Path, report: EncoderReport) -> None:
    (folder / "report.json").write_text(report.model_dump_json(), encoding="utf-8")
