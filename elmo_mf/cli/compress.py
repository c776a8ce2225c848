"""`elmo-mf compress`: write a factored checkpoint and report its size, speed and errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from elmo_mf.cli._compression_options import AllCompressionOptions, budget_help
from elmo_mf.cli._elmo_files import files_of_command
from elmo_mf.cli._option_names import options_named
from elmo_mf.cli._output_options import Force, check_unused
from elmo_mf.cli._terminal import echo
from elmo_mf.errors import InputError, one_of
from elmo_mf.io import check_folder

if TYPE_CHECKING:
    from elmo_mf.compression import CompressedCheckpoint


@dataclass(frozen=True)
class StoredCompressionOptions(AllCompressionOptions):
    """Options of a compression whose result is stored in the type of `--dtype`."""

    budget: Annotated[str | None, Option(help=budget_help("in the type of --dtype"))] = None


def compress(
    options: Annotated[
        Path, Argument(metavar="ELMO", help="options.json of the ELMo, or a folder or zip with all its files.")
    ],
    out: Annotated[
        Path, Option("--out", "--output", help="Folder for options.json, weights.hdf5, report.json and MODEL_CARD.md.")
    ],
    how: StoredCompressionOptions,
    weights: Annotated[Path | None, Argument(help="Weights of the ELMo, HDF5, if ELMO is options.json.")] = None,
    evaluation: Annotated[
        Path | None, Option(help="Text on which to measure the errors in the report; that of --calibration by default.")
    ] = None,
    dense: Annotated[
        bool, Option("--dense", help="Write the rebuilt matrices in the official layout, for other programs.")
    ] = False,
    dtype: Annotated[
        str,
        Option(
            help="Type of the stored weights: float32, float16, int8 for the matrices, with a scale for each output, "
            "or int4 for the biLSTM's matrices, with a scale for 32 inputs of each output."
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
    from elmo_mf.bilm.checkpoint import DTYPES, ROUNDED_DTYPES
    from elmo_mf.bilm.checkpoint_files import VOCABULARY
    from elmo_mf.compression import COMPRESSED_FILES, compress_checkpoint

    with options_named({"out": "--out"}):
        files = files_of_command(options, weights)
        written = (*COMPRESSED_FILES, *([VOCABULARY] if files.vocabulary else []))
        check_folder("out", out, written, (*files.inputs, how.calibration, evaluation, how.gradients, how.distill))
        check_unused((out / name for name in written), force)
        if dtype not in DTYPES:
            raise InputError("--dtype", f"found {dtype}, {one_of(dtype, DTYPES)}")
        compression = how.compression(dtype)
        if compression is None and dtype not in ROUNDED_DTYPES:
            raise InputError("one of --rank, --budget, --cells, --highway-rank or --dtype int8 or int4 is required")
        result = compress_checkpoint(
            files.options, files.weights, out=out, compression=compression, evaluation=evaluation, dense=dense,
            dtype=dtype, licence=licence,
        )  # fmt: skip
    _print(result, dense)
    megabytes = result.weights.stat().st_size / 1e6
    if dense:
        kind = "" if dtype == "float32" else f" in {dtype}"
        echo(f"the matrices are rebuilt: the result is as large and as fast as the dense encoder{kind}")
    echo(f"wrote {out}/options.json, weights.hdf5 ({megabytes:.1f} MB), report.json and MODEL_CARD.md")


def _print(result: CompressedCheckpoint, dense: bool) -> None:
    from rich.table import Table

    from elmo_mf.cli._console import Console

    columns = ("matrix", "shape", "rank", "params", "share", "energy", "error", "inputs")
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 0, 0, 1))  # fits 80 columns
    for column in table.columns:
        column.justify, column.no_wrap = ("left" if column.header == "matrix" else "right"), True
    for row in result.report.rows:
        factorization = row.factorization
        m, n = factorization.shape
        share = factorization.parameters / (m * n)
        table.add_row(
            row.name, f"{m} x {n}", factorization.form, f"{factorization.parameters:,}",
            f"{share:.1%}", f"{factorization.energy:.1%}", f"{factorization.error:.3f}",
            f"{factorization.input_error:.3f}",
        )  # fmt: skip
    console = Console()
    if result.report.rows:
        console.print(table)
        console.print(
            f"{'rank, params: of the factors; ' if dense else ''}share: of the dense parameters; energy: 1 - error^2; "
            "inputs: error of the products with real inputs"
        )
    for line in result.notes():
        console.print(line, soft_wrap=True)
