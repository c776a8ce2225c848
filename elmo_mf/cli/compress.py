"""`elmo-mf compress`: write a factored checkpoint and say what it saves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from elmo_mf.errors import InputError

if TYPE_CHECKING:
    from elmo_mf.factorize import SizeReport


def compress(
    options: Path = typer.Argument(help="options.json of the ELMo."),
    weights: Path = typer.Argument(help="Its weights, HDF5."),
    out: Path = typer.Option(..., help="Folder for the new options.json and weights.hdf5."),
    rank: int = typer.Option(..., help="Rank of the factors."),
    method: str = typer.Option("svd", help="Factorization method."),
    targets: str = typer.Option(
        "all", help="Matrices to factorize: input, recurrent, projection, joined by +, or all."
    ),
    layers: str = typer.Option("all", help="Layer numbers, comma-separated, or all."),
    directions: str = typer.Option("all", help="forward, backward or all."),
    allow_larger: bool = typer.Option(False, help="Accept ranks at which nothing is saved."),
    dtype: str = typer.Option("float32", help="Of the stored weights: float16 or float32."),
) -> None:
    """Factorize ELMo weights and write a factored checkpoint.

    The result loads wherever elmo-mf takes options and weights, without factorizing again.

    Examples:

    \b
      elmo-mf compress options.json weights.hdf5 --rank 64 --out elmo-r64
      elmo-mf compress options.json weights.hdf5 --method svd --rank 32 --targets input+recurrent --out elmo-r32
    """
    from elmo_mf.bilm import Bilm
    from elmo_mf.bilm.checkpoint import DTYPES
    from elmo_mf.factorize import Compression, size_report

    if dtype not in DTYPES:
        raise InputError(f"--dtype: found {dtype}, expected {' or '.join(DTYPES)}")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out: found the file {out}, expected a folder")
    if (out / "weights.hdf5").resolve() == weights.resolve():
        raise InputError(f"--out: found the folder of the weights themselves, {out}, expected another")
    compression = Compression(method, rank, targets, _layers(layers), directions, allow_larger)
    bilm = Bilm.from_files(options, weights, compression)
    bilm.save(out, dtype)
    _print(size_report(bilm.weights(), bilm.options))
    typer.echo(
        f"wrote {out}/options.json and {out}/weights.hdf5 ({(out / 'weights.hdf5').stat().st_size / 1e6:.1f} MB)"
    )


def _layers(text: str) -> list[int] | str:
    if text == "all":
        return text
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise InputError(f"--layers: found {text}, expected all or layer numbers such as 0,1")
    return [int(part) for part in parts]


def _print(report: SizeReport) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("matrix", "shape", "rank", "parameters", "of dense", "bytes", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in report.matrices:
        rank = "dense" if row.rank is None else str(row.rank)
        share = f"{row.parameters / row.dense_parameters:.1%}"
        name = f"{row.direction} {row.layer} {row.target}"
        table.add_row(name, f"{row.shape[0]} x {row.shape[1]}", rank, f"{row.parameters:,}", share, f"{row.bytes:,}")
    console = Console()
    console.print(table)
    console.print(
        f"biLSTM: {report.lstm_parameters:,} of {report.lstm_dense_parameters:,} parameters, "
        f"{report.lstm_bytes:,} bytes, {report.lstm_ratio:.2f} times smaller, "
        f"{report.lstm_multiply_adds:,} of {report.lstm_dense_multiply_adds:,} multiply-adds a token",
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"encoder with its character CNN: {report.encoder_parameters:,} parameters, {report.encoder_bytes:,} bytes, "
        f"{report.encoder_ratio:.2f} times smaller",
        highlight=False,
        soft_wrap=True,
    )
