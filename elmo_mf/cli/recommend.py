"""`elmo-mf recommend`: which encoder to take."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import typer

from elmo_mf.cli.output_options import Force, check_unused
from elmo_mf.cli.terminal import echo
from elmo_mf.errors import InputError
from elmo_mf.leaderboard.margin import MARGIN


def recommend(
    folder: Path = typer.Argument(Path("leaderboard"), help="Output folder of a sweep, or a leaderboard."),
    margin: float = typer.Option(
        MARGIN, help="Largest loss treated as negligible: points, or units of perplexity.", min=0
    ),
    json_file: Path | None = typer.Option(None, "--json", help="Also write the recommendations to this file."),
    force: Force = False,
) -> None:
    """Recommend an encoder for each task, and print the command that creates it.

    Of the encoders that validation data show to be non-inferior to the dense one, `safe` is the one that scores best
    there, `small` the one with the fewest bytes, and `fast` the fastest. The numbers are from the scored split: the
    difference to dense with its 95 % interval, the size, and how many times as fast as the original the encoder is, at
    batch 1 and 32.

    Examples:

    \b
      elmo-mf recommend
      elmo-mf recommend runs/mine --margin 2 --json recommended.json
    """
    from elmo_mf.io import check_output, write_json

    if not isfinite(margin):
        raise InputError(f"--margin: found {margin}, expected a number")
    if json_file is not None:
        check_output("--json", json_file)
        check_unused([json_file], force)
    from elmo_mf.escape import plain
    from elmo_mf.leaderboard.aggregate import boards
    from elmo_mf.leaderboard.headline import in_short
    from elmo_mf.leaderboard.read_records import outputs_of, records_of
    from elmo_mf.leaderboard.recommend import described, recommendations

    by_board = {}
    for board in boards(records_of(folder), outputs_of(folder), margin):
        chosen = recommendations(board)
        by_board[board.name] = [{"aim": one.aim, "encoder": one.row.encoder, "use": one.use} for one in chosen]
        echo(plain(board.title))
        for one in chosen:
            echo(f"  {one.aim:<6} {plain(one.row.encoder)}: {plain(described(one.row, board))}")
            echo(f"         {plain(one.use)}")
        if not chosen:
            echo(f"  {plain(in_short(board))}")
    if json_file is not None:
        write_json(json_file, by_board)
