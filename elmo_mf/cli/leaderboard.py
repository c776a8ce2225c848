"""`elmo-mf leaderboard`: rebuild the board of an output folder."""

from __future__ import annotations

from pathlib import Path

import typer


def leaderboard(folder: Path = typer.Argument(help="Output folder of a sweep.")) -> None:
    """Rebuild README.md in a sweep's output folder from its records, and print the tables.

    Examples:

    \b
      elmo-mf leaderboard runs/demo
      elmo-mf leaderboard leaderboard
    """
    from rich.console import Console
    from rich.table import Table

    from elmo_mf.report.leaderboard import table, write_leaderboard

    path, boards = write_leaderboard(folder)
    console = Console(highlight=False)
    for board in boards:
        frame = table(board)
        frame = frame[
            [column for column in frame.columns if " ms, " not in column and not column.startswith("speed-up, model")]
        ]
        frame = frame.rename(columns=lambda name: name.replace("speed-up, encoder, batch ", "speed-up, "))
        shown = Table(title=board.task.title, title_justify="left", box=None, padding=(0, 1))
        for index, column in enumerate(frame.columns):
            shown.add_column(column, justify="left" if index == 0 else "right", no_wrap=index > 0)
        for row in frame.itertuples(index=False):
            shown.add_row(*(str(value).replace("**", "") for value in row))
        console.print(shown)
        console.print()
    typer.echo(f"wrote {path}")
