"""`elmo-mf leaderboard`: rebuild the board of an output folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from elmo_mf.report.aggregate import Board


def leaderboard(
    folder: Path = typer.Argument(help="Output folder of a sweep."),
    export: str | None = typer.Option(None, help="Write board.csv, .parquet, .tex or .json too; comma-separated."),
) -> None:
    """Rebuild README.md and its plots in a sweep's output folder from its records, and print the tables.

    Examples:

    \b
      elmo-mf leaderboard runs/demo
      elmo-mf leaderboard leaderboard --export csv,json
    """
    from elmo_mf.report.exports import check_kinds, write_exports
    from elmo_mf.report.leaderboard import write_leaderboard

    kinds = export.split(",") if export else []
    check_kinds(kinds)
    path, boards = write_leaderboard(folder)
    written = [path, *write_exports(boards, folder, kinds)]
    for board in boards:
        _print(board)
    typer.echo(f"wrote {', '.join(map(str, written))}")


def _print(board: Board) -> None:
    """The columns that fit a terminal of 80."""
    from rich.console import Console
    from rich.table import Table

    from elmo_mf.report.table import table
    from elmo_mf.report.units import Unit

    frame = table(board)
    titles = {
        "encoder": "encoder",
        (score := Unit.of(board.task).title): score,
        "vs dense": "vs dense",
        "smaller": "smaller",
        "speed-up, encoder, batch 1": "faster, 1",
        "speed-up, encoder, batch 32": "32",
    }
    shown = Table(title=board.task.title, title_justify="left", box=None, pad_edge=False)
    for title in titles.values():
        name = title == "encoder"
        shown.add_column(title, justify="left" if name else "right", no_wrap=not name)
    for row in frame[list(titles)].itertuples(index=False):
        shown.add_row(*(str(value).replace("**", "") for value in row))
    console = Console(highlight=False)
    console.print(shown)
    console.print()
