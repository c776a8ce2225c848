"""Compress the files of an ELMo into a folder, with a report and a model card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmo_mf.bilm import BilmOptions, BilmWeights, read_weights
from elmo_mf.bilm.checkpoint import DTYPES, ROUNDED_DTYPES
from elmo_mf.bilm.checkpoint_files import OPTIONS, VOCABULARY, CheckpointFiles, checkpoint_files
from elmo_mf.compression.check import check_compression
from elmo_mf.compression.file_hashes import with_file_hashes
from elmo_mf.errors import InputError, absent, one_of
from elmo_mf.io import atomic_files, check_folder, exclusive, write_json
from elmo_mf.io.sentences import check_texts
from elmo_mf.tabular import Tabular

if TYPE_CHECKING:
    import pandas as pd

    from elmo_mf.compression._report import CompressionReport, FactorizationError
    from elmo_mf.compression.recovery import Distilled
    from elmo_mf.records import Compression

WEIGHTS, REPORT, CARD = "weights.hdf5", "report.json", "MODEL_CARD.md"
COMPRESSED_FILES = (OPTIONS, WEIGHTS, REPORT, CARD)
"""Names of the files that `compress_checkpoint` writes; for some token layers, a vocabulary too."""
_DISTILLATION = "distill.pt"


@dataclass(frozen=True, repr=False)
class CompressedCheckpoint(Tabular):
    """A compressed ELMo in a folder, which is shown as a table of its compressed matrices.

    Attributes:
        folder: The folder.
        compression: How it was to be compressed, with the SHA-256 of files in place of their paths; None if it was only
            rounded. The report has the number of memory cells that a budget chose, and so has the history in the
            options.
        dtype: Type of the stored weights.
        token_layer: Name of the ELMo's token layer.
        report: Errors and sizes of what was written.
        seconds: Time that it took without the distillation.
        distilled: Result of the distillation, if there was one.
    """

    folder: Path
    compression: Compression | None
    dtype: str
    token_layer: str
    report: CompressionReport
    seconds: float
    distilled: Distilled | None

    @property
    def options(self) -> Path:
        """Its options file."""
        return self.folder / OPTIONS

    @property
    def weights(self) -> Path:
        """Its weight file."""
        return self.folder / WEIGHTS

    def to_dict(self) -> dict[str, Any]:
        """Return the content of its `report.json`."""
        compression = None if self.compression is None else self.compression.to_dict()
        content = {"compression": compression, "dtype": self.dtype, **self.report.to_dict()}
        content["seconds"] = round(self.seconds, 2)
        if self.distilled is not None:
            content["distillation"] = {
                "activation_error_before": self.distilled.before,
                "activation_error_after": self.distilled.after,
            }
        return content

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each compressed matrix; `error` and `input_error` are relative."""
        import pandas as pd

        return pd.DataFrame([_columns(row.name, row.factorization) for row in self.report.rows], columns=_COLUMNS)

    def notes(self) -> list[str]:
        """Return sizes, the predicted speed-up and the error of the outputs."""
        size, speed, error = self.report.size, self.report.predicted_speed_up, self.report.activation_error
        (before, after), removed = self.report.cells, list[str]()
        chosen = self.compression is not None and self.compression.cells == "budget"
        if after < before or chosen:
            number = f"{after:,} of {before:,} memory cells in each direction of each layer"
            removed = [f"{number}, chosen within the budget" if chosen else number]
        lines = [
            *removed,
            f"biLSTM: {size.lstm_parameters:,} of {size.lstm_dense_parameters:,} parameters "
            f"({size.lstm_ratio:.2f} times smaller), {size.lstm_bytes:,} bytes, "
            f"{size.lstm_multiply_adds:,} of {size.lstm_dense_multiply_adds:,} multiply-adds per token",
            f"encoder with its {self.token_layer}: {size.encoder_parameters:,} parameters "
            f"({size.encoder_ratio:.2f} times smaller), {size.encoder_bytes:,} bytes",
            f"predicted speed-up: biLSTM {speed.lstm:.1f} times, encoder {speed.encoder:.1f} times where every word "
            "is new; elmo-mf bench measures it",
            f"activation error {error.overall:.3f} ("
            + ", ".join(f"layer {k} {one:.3f}" for k, one in enumerate(error.layers))
            + f") on {error.sentences} sentences",
        ]
        lines += [f"{'compressed' if removed else 'factorized'} in {self.seconds:.1f} s"] if self.seconds else []
        if self.distilled is not None:
            changes = f"{self.distilled.before:.3f} before, {self.distilled.after:.3f} after"
            lines.append(f"distilled: activation error on held-out sentences {changes}")
        return lines


_COLUMNS = ["matrix", "rows", "columns", "rank", "parameters", "share", "energy", "error", "input_error"]


def _columns(name: str, error: FactorizationError) -> dict[str, Any]:
    rows, columns = error.shape
    return {
        "matrix": name, "rows": rows, "columns": columns, "rank": error.rank, "parameters": error.parameters,
        "share": error.parameters / (rows * columns), "energy": error.energy, "error": error.error,
        "input_error": error.input_error,
    }  # fmt: skip


def compress_checkpoint(
    options: str | Path,
    weights: str | Path | None = None,
    *,
    out: str | Path,
    compression: Compression | None = None,
    evaluation: str | Path | None = None,
    dense: bool = False,
    dtype: str = "float32",
    licence: str | None = None,
) -> CompressedCheckpoint:
    """Compress an ELMo, and write the result with a report and a model card; `elmo-mf compress` calls this function.

    `options.json`, `weights.hdf5`, `report.json` and `MODEL_CARD.md` in the folder are replaced together, or not at
    all. The result loads wherever options and weights are expected, without being factorized again.

    Args:
        options: `options.json` of the ELMo; or, without `weights`, a folder or a zip with all its files.
        weights: Weights of the ELMo, HDF5.
        out: Folder for the result.
        compression: What to remove and to factorize, how, and to which size. Defaults to nothing, with a `dtype` of
            int8 or int4.
        evaluation: Tokenised text, one sentence per line, on which the errors in the report are measured. Defaults to
            the calibration text.
        dense: Whether to write rebuilt matrices in the official layout, for other programs. Defaults to False.
        dtype: Type of the stored weights: `float32`, `float16`, `int8` or `int4`. Defaults to float32.
        licence: Licence for the model card. Defaults to the one on the card of the weights.

    Returns:
        What was written, with its errors and sizes.

    Raises:
        InputError: A file cannot be read or written, or the compression does not fit the ELMo.

    Examples:
        >>> from tempfile import mkdtemp
        >>> from elmo_mf import Compression, compress_checkpoint
        >>> small = Compression(method="svd", targets="projection", rank=8)
        >>> compressed = compress_checkpoint("weights/demo", out=mkdtemp(), compression=small)
        >>> compressed.weights.name
        'weights.hdf5'
        >>> compressed.to_pandas()[["matrix", "rank", "parameters"]].head(2)
                         matrix  rank  parameters
        0  forward 0 projection     8        4608
        1  forward 1 projection     8        4608
    """
    if dtype not in DTYPES:
        raise InputError("dtype", f"found {dtype}, {one_of(dtype, DTYPES)}")
    if compression is None and dtype not in ROUNDED_DTYPES:
        raise InputError("compression", absent(f"one, or the dtype int8 or int4 in place of {dtype}"))
    with checkpoint_files(options, weights) as files:
        text = None if evaluation is None else Path(evaluation)
        return _compress(files, Path(out), text, compression, dense, dtype, licence)


def _compress(
    files: CheckpointFiles,
    out: Path,
    evaluation: Path | None,
    compression: Compression | None,
    dense: bool,
    dtype: str,
    licence: str | None,
) -> CompressedCheckpoint:
    parsed, before = _read(files, out, evaluation, compression)
    hashed = None if compression is None else with_file_hashes(compression)
    # only now those that import torch: what was wrong so far is said at once
    from elmo_mf.bilm import Bilm
    from elmo_mf.compression._model_card import Source, write_compressed_card
    from elmo_mf.compression._report import compression_report
    from elmo_mf.compression.apply import CompressedElmo, compress_elmo
    from elmo_mf.compression.calibration import CALIBRATION_TEXT, calibration_sentences

    calibration = None if compression is None or compression.calibration is None else Path(compression.calibration)
    text = evaluation or calibration or CALIBRATION_TEXT
    calibration_sentences(text)  # raises if the text cannot be read
    source = Source.of(files.options, files.weights, licence)
    distills = compression is not None and compression.distill is not None
    with exclusive(out, f"a result to {out}"):
        compressed = CompressedElmo(before, parsed, before, None, seconds=0.0)
        noted = parsed
        if compression is not None and hashed is not None:
            compressed = compress_elmo(before, parsed, compression, out / _DISTILLATION)
            noted = compressed.options.followed_by(compressed.applied(hashed).to_dict())
        after = compressed.weights
        stored = after.dense() if dense else after
        with atomic_files(out, obsolete=[_DISTILLATION] if distills else []) as staging:
            Bilm(noted, stored).save(staging, dtype)
            if dtype in ROUNDED_DTYPES:
                stored = read_weights(staging / WEIGHTS, noted, files.vocabulary)
            shaped = after if dense else stored  # rebuilt matrices are reported with the ranks of their factors
            inputs = compressed.inputs
            report = compression_report(before, shaped, parsed, text, compressed.unfactored, dtype, stored, inputs)
            rest = report, compressed.seconds, compressed.distilled
            result = CompressedCheckpoint(out, hashed, dtype, parsed.token_layer.title, *rest)
            write_json(staging / REPORT, result.to_dict())
            write_compressed_card(staging, source, compression, hashed, report, noted, dense, dtype)
    return result


def _read(
    files: CheckpointFiles, out: Path, evaluation: Path | None, compression: Compression | None
) -> tuple[BilmOptions, BilmWeights]:
    """Read the ELMo, after checking the files and before checking the compression."""
    named: list[str | None] = []
    if compression is not None:
        text = None if compression.distill is None else compression.distill.text
        named = [compression.calibration, compression.gradients, text]
    check_folder("out", out, (*COMPRESSED_FILES, VOCABULARY, _DISTILLATION), (*files.inputs, evaluation, *named))
    check_texts([evaluation, None if compression is None else compression.calibration])
    options = BilmOptions.from_file(files.options)
    weights = read_weights(files.weights, options, files.vocabulary)
    if compression is not None:
        check_compression(weights, compression)
    return options, weights
