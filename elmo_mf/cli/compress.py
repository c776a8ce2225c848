"""`elmo-mf compress`: write a factored checkpoint and report its size, speed and errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from elmo_mf.cli._compression_options import AllCompressionOptions
from elmo_mf.cli._elmo_files import files_of_command
from elmo_mf.cli._files import check_texts
from elmo_mf.cli._output_options import Force, check_unused
from elmo_mf.cli._progress_bar import progress_bar
from elmo_mf.cli._terminal import echo
from elmo_mf.errors import InputError, one_of
from elmo_mf.io import atomic_files, check_folder, check_space, exclusive, write_json

if TYPE_CHECKING:
    from elmo_mf.bilm import BilmOptions, BilmWeights
    from elmo_mf.compression import CompressionReport
    from elmo_mf.compression.recovery import Distilled
    from elmo_mf.records import Compression, Distillation

_FILES = ("options.json", "weights.hdf5", "report.json", "MODEL_CARD.md")
_CHECKPOINT = "distill.pt"


def compress(
    options: Annotated[Path, Argument(help="options.json of the ELMo, or a folder or zip with all its files.")],
    out: Annotated[
        Path, Option("--out", "--output", help="Folder for options.json, weights.hdf5, report.json and MODEL_CARD.md.")
    ],
    how: AllCompressionOptions,
    weights: Annotated[Path | None, Argument(help="Weights of the ELMo, HDF5, if OPTIONS is options.json.")] = None,
    evaluation: Annotated[
        Path | None, Option(help="Text on which to measure the errors in the report; that of --calibration by default.")
    ] = None,
    dense: Annotated[
        bool, Option("--dense", help="Write the rebuilt matrices in the official layout, for other programs.")
    ] = False,
    dtype: Annotated[
        str,
        Option(
            help="Type of the stored weights: float32, float16, or int8 for the matrices, with a scale for each output."
        ),
    ] = "float32",
    licence: Annotated[
        str | None, Option(help="Licence for the model card; by default the one on the weights' own card.")
    ] = None,
    force: Force = False,
) -> None:
    """Factorize ELMo weights and write a factored checkpoint, with a report and a model card.

    The result loads wherever elmo-mf takes options and weights, without factorizing again.

    Examples:

    \b
      elmo-mf compress options.json weights.hdf5 --rank 32 --out elmo-r32
      elmo-mf compress norwegian.zip --rank 32 --out norwegian-r32
      elmo-mf compress options.json weights.hdf5 --method whitened_svd --budget 10% --highway-rank budget --out small
      elmo-mf compress options.json weights.hdf5 --method whitened_svd --rank 32 --distill text.txt --out distilled
      elmo-mf compress options.json weights.hdf5 --budget 25% --method whitened_svd --dtype int8 --out smallest
      elmo-mf compress options.json weights.hdf5 --dtype int8 --out rounded
      elmo-mf compress options.json weights.hdf5 --rank 32 --dense --out for-stock-allennlp
    """
    from elmo_mf.bilm import BilmOptions, read_weights
    from elmo_mf.bilm.checkpoint import DTYPES
    from elmo_mf.bilm.checkpoint_files import VOCABULARY

    if dtype not in DTYPES:
        raise InputError(f"--dtype: found {dtype}, {one_of(dtype, DTYPES)}")
    files = files_of_command(options, weights)
    inputs = (*files.inputs, how.calibration, evaluation, how.gradients, how.distill)
    check_folder("--out", out, (*_FILES, VOCABULARY, _CHECKPOINT), inputs)
    check_unused((out / name for name in (*_FILES, *([VOCABULARY] if files.vocabulary else []))), force)
    check_texts([how.calibration, evaluation])
    compression = how.compression()
    if compression is None and dtype != "int8":
        raise InputError("one of --rank, --budget, --highway-rank or --dtype int8 is required")
    parsed = BilmOptions.from_file(files.options)
    before = read_weights(files.weights, parsed, files.vocabulary)
    from elmo_mf.compression import check_compression, with_history

    if compression is not None:
        check_compression(before, compression)
    # only now those that import torch: what was wrong so far is said at once
    from elmo_mf.bilm import Bilm
    from elmo_mf.compression import Source, compression_report, write_compressed_card
    from elmo_mf.compression.calibration import CALIBRATION_TEXT, calibration_sentences

    text = evaluation or how.calibration or CALIBRATION_TEXT
    calibration_sentences(text)  # raises if the text cannot be read
    noted = parsed if compression is None else with_history(parsed, compression)
    source = Source.of(files.options, files.weights, licence)
    identity = {} if compression is None else noted.compressions[-1]
    distills = compression is not None and compression.distill is not None
    with exclusive(out, f"a result to {out}"):
        after, seconds, distilled = _compressed(compression, parsed, before, out / _CHECKPOINT)
        with atomic_files(out, obsolete=[_CHECKPOINT] if distills else []) as staging:
            Bilm(noted, after.dense() if dense else after).save(staging, dtype)
            if dtype == "int8" and not dense:  # the report is on what was stored
                after = read_weights(staging / "weights.hdf5", noted, files.vocabulary)
            report = compression_report(before, after, parsed, text)
            write_json(staging / "report.json", _json(identity, dtype, report, seconds, distilled))
            write_compressed_card(staging, source, compression, identity, report, parsed, dense, dtype)
    _print(report, parsed.token_layer.title, seconds, distilled)
    megabytes = (out / "weights.hdf5").stat().st_size / 1e6
    if dense:
        echo("the matrices are rebuilt: the result is as large and as fast as the dense encoder")
    echo(f"wrote {out}/options.json, weights.hdf5 ({megabytes:.1f} MB), report.json and MODEL_CARD.md")


def _json(
    identity: dict[str, Any], dtype: str, report: CompressionReport, seconds: float, distilled: Distilled | None
) -> dict[str, Any]:
    """Return the content of report.json."""
    content = {"compression": identity or None, "dtype": dtype, **report.to_dict(), "seconds": round(seconds, 2)}
    if distilled is not None:
        content["distillation"] = {
            "activation_error_before": distilled.before,
            "activation_error_after": distilled.after,
        }
    return content


def _compressed(
    compression: Compression | None, options: BilmOptions, before: BilmWeights, checkpoint: Path
) -> tuple[BilmWeights, float, Distilled | None]:
    """Return the compressed weights, the seconds that the factorization took, and the result of the distillation."""
    import time

    if compression is None:
        return before, 0.0, None

    from elmo_mf.compression import compress

    started = time.perf_counter()
    after = compress(before, options, compression.model_copy(update={"distill": None}))
    seconds = time.perf_counter() - started
    if compression.distill is None:
        return after, seconds, None
    distilled = _distilled(compression.distill, options, before, after, checkpoint)
    return distilled.weights, seconds, distilled


def _distilled(
    settings: Distillation, options: BilmOptions, before: BilmWeights, after: BilmWeights, checkpoint: Path
) -> Distilled:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from elmo_mf.compression.recovery import checkpoint_size, distill

    size = checkpoint_size(after)
    check_space("--out", checkpoint, size if checkpoint.exists() else 2 * size)  # the next one is written beside it
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("loss {task.description}"))
    with progress_bar(*columns) as bar:
        row = bar.add_task("", total=settings.steps)

        def show(step: int, loss: float) -> None:
            bar.update(row, completed=step, description=f"{loss:.4f}")

        def resumes(step: int) -> None:
            bar.console.print(
                f"resuming the distillation at step {step} of {bar.tasks[0].total:.0f}, from {checkpoint}"
            )

        return distill(before, after, options, settings, checkpoint, show, resumes)


def _print(report: CompressionReport, token_layer: str, seconds: float, distilled: Distilled | None) -> None:
    from rich.table import Table

    from elmo_mf.cli._console import Console

    columns = ("matrix", "shape", "rank", "params", "share", "energy", "error", "inputs")
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 0, 0, 1))  # fits 80 columns
    for column in table.columns:
        column.justify, column.no_wrap = ("left" if column.header == "matrix" else "right"), True
    for row in report.rows:
        factorization = row.factorization
        m, n = factorization.shape
        share = factorization.parameters / (m * n)
        table.add_row(
            row.name, f"{m} x {n}", factorization.form, f"{factorization.parameters:,}",
            f"{share:.1%}", f"{factorization.energy:.1%}", f"{factorization.error:.3f}",
            f"{factorization.input_error:.3f}",
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print("share: of the dense parameters; energy: 1 - error^2; inputs: error of the products with real inputs")
    for line in _summary(report, token_layer, seconds, distilled):
        console.print(line, soft_wrap=True)


def _summary(report: CompressionReport, token_layer: str, seconds: float, distilled: Distilled | None) -> list[str]:
    size, speed, error = report.size, report.predicted_speed_up, report.activation_error
    lines = [
        f"biLSTM: {size.lstm_parameters:,} of {size.lstm_dense_parameters:,} parameters "
        f"({size.lstm_ratio:.2f} times smaller), {size.lstm_bytes:,} bytes, "
        f"{size.lstm_multiply_adds:,} of {size.lstm_dense_multiply_adds:,} multiply-adds per token",
        f"encoder with its {token_layer}: {size.encoder_parameters:,} parameters "
        f"({size.encoder_ratio:.2f} times smaller), {size.encoder_bytes:,} bytes",
        f"predicted speed-up: biLSTM {speed.lstm:.1f} times, encoder {speed.encoder:.1f} times where every word "
        "is new; elmo-mf bench measures it",
        f"activation error {error.overall:.3f} ("
        + ", ".join(f"layer {k} {one:.3f}" for k, one in enumerate(error.layers))
        + f") on {error.sentences} sentences",
    ]
    lines += [f"factorized in {seconds:.1f} s"] if seconds else []
    if distilled is not None:
        changes = f"{distilled.before:.3f} before, {distilled.after:.3f} after"
        lines.append(f"distilled: activation error on held-out sentences {changes}")
    return lines
