"""`elmo-mf leaderboard`: rebuild the board of an output folder."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from elmo_mf.cli._option_names import options_named
from elmo_mf.cli._output_options import Force, check_own
from elmo_mf.cli._terminal import echo
from elmo_mf.errors import InputError
from elmo_mf.leaderboard import MARGIN, check_kinds, check_records

if TYPE_CHECKING:
    from elmo_mf.leaderboard import Board

MOST_ROWS = 100
"""Largest number of rows of a table that are printed."""
_LEGEND = {
    "1 / 32": "times as fast as AllenNLP's encoder, or torch.nn.LSTM, at batch 1 and 32",
    "★": "recommended: the fastest of those that are not inferior to dense on validation data and by verdict",
    "◆": "none is as good with fewer multiply-adds",
    "†": "within two standard errors of chance",
    "‡": "scored on another kind of machine than dense, or on several, so that there is no verdict",
}


def leaderboard(
    folder: Path = typer.Argument(help="Output folder of a sweep."),
    export: str | None = typer.Option(None, help="Further files to write, comma-separated: csv, parquet, tex or json."),
    margin: float = typer.Option(
        MARGIN, help="Largest loss treated as negligible: points, or units of perplexity.", min=0
    ),
    serve: bool = typer.Option(
        False, help="Write nothing; serve the page on this machine and add new records as they arrive."
    ),
    port: int = typer.Option(8642, help="Port for --serve; 0 selects a free port.", min=0, max=65535),
    force: Force = False,
) -> None:
    """Rebuild a sweep's leaderboard from its records, and print the tables.

    Writes README.md with its plots, and index.html, a single-file page to sort,
    filter and explore the tables, into the sweep's output folder.

    Examples:

    \b
      elmo-mf leaderboard runs/demo
      elmo-mf leaderboard leaderboard --export csv,json
      elmo-mf leaderboard runs/demo --serve
    """
    if not isfinite(margin):
        raise InputError("--margin", f"found {margin}, expected a number")
    if serve:
        if export:
            raise InputError("--export and --serve are mutually exclusive")
        _serve(folder, port, margin)
        return
    kinds = export.split(",") if export else []
    with options_named({"export": "--export"}):
        check_kinds(kinds)
    check_records(folder)
    check_own({folder / "README.md": "# Leaderboard\n", folder / "index.html": "<title>elmo-mf leaderboard<"}, force)
    from elmo_mf.leaderboard import write_reports

    with options_named({"export": "--export"}):
        written, boards = write_reports(folder, kinds, margin)
    shown = "".join(_print(board) for board in boards)
    for sign, meaning in _LEGEND.items():
        if sign in shown:
            echo(f"{sign}: {meaning}")
    echo(f"wrote {', '.join(map(str, written))}")


def _serve(folder: Path, port: int, margin: float) -> None:
    from elmo_mf.cli._page_server import server

    with server(folder, port, margin) as serving:
        echo(f"http://127.0.0.1:{serving.server_port}/ shows {folder}; press Ctrl+C to stop")
        serving.serve_forever()


def _print(board: Board) -> str:
    """Print the first columns, as many as fit next to the encoder's on a terminal of 80 characters, and return them."""
    from elmo_mf.cli._console import Console
    from elmo_mf.cli._fitted_table import fitted_table
    from elmo_mf.leaderboard import Unit, reference, table

    frame = table(board).assign(verdict=[row.verdict for row in board.rows])
    titles = {
        "encoder": "encoder",
        (score := Unit.of(board.scoring).title): score,
        "vs dense": "vs dense",
        "verdict": "verdict",
        f"times as fast as {reference(board)}, batch 1 / 32": "faster, 1 / 32",
        "MB": "MB",
    }
    cells = frame.reindex(columns=list(titles), fill_value="").head(MOST_ROWS).rename(columns=titles)
    console = Console()
    console.print(fitted_table(board.title, cells, console.width))
    if len(frame) > MOST_ROWS:
        console.print(f"and {len(frame) - MOST_ROWS:,} more, in README.md and index.html")
    console.print()
    return "".join(map(str, [*cells.columns, *cells.to_numpy().ravel()]))
