"""`elmo-mf recommend`: recommended encoders by aim (safe, small, fast)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from elmo_mf.cli._option_names import options_named
from elmo_mf.cli._output_options import Force, check_unused
from elmo_mf.cli._terminal import echo
from elmo_mf.errors import InputError
from elmo_mf.leaderboard import MARGIN, check_records

if TYPE_CHECKING:
    from elmo_mf.leaderboard import Recommendations

_LEGEND = (
    "Numbers: the difference from the dense encoder with its 95 % interval, the size, and the speed at batch 1 and 32",
    "relative to AllenNLP's encoder, or to torch.nn.LSTM for language models of words. Below them: what it costs in",
    "the other tables of the same ELMo; then a command, a key of the token embedder in a config, or a call in Python.",
)


def recommend(
    folder: Path | None = typer.Argument(
        None, help="Output folder of a sweep; by default, the published leaderboard.", show_default=False
    ),
    margin: float = typer.Option(
        MARGIN, help="Largest loss treated as negligible: points, or units of perplexity.", min=0
    ),
    json_file: Path | None = typer.Option(None, "--json", help="Also write the recommendations to this file."),
    force: Force = False,
) -> None:
    """Recommend an encoder for each task, and print the command that creates it.

    Of the encoders that validation data and the verdict show to be non-inferior to the dense one, `safe` is the one
    whose score on validation data is shown to change least, `small` the one with the fewest bytes, and `fast` the
    fastest. The numbers are from the scored split: the difference to dense with its 95 % interval, the size, and how
    many times as fast as the original the encoder is, at batch 1 and 32; then what it costs in the other tables of the
    same ELMo that give verdicts and have baselines.

    Examples:

    \b
      elmo-mf recommend
      elmo-mf recommend runs/mine --margin 2 --json recommended.json
    """
    from elmo_mf.io import check_output, write_json

    if json_file is not None:
        check_output("--json", json_file)
        check_unused([json_file], force)
    recommendations = _published(margin) if folder is None else _of_records(folder, margin)
    for board in recommendations.boards.values():
        echo(board.title)
        for one in board.encoders:
            echo(f"  {one.aim:<6} {one.encoder}: {one.result}")
            for other in one.elsewhere:
                echo(f"         {other}")
            echo(f"         {one.use}")
        if board.reason is not None:
            echo(f"  {board.reason}")
    if any(board.encoders for board in recommendations.boards.values()):
        for line in _LEGEND:
            echo(line)
    if json_file is not None:
        write_json(json_file, recommendations.to_dict())


def _of_records(folder: Path, margin: float) -> Recommendations:
    check_records(folder)
    from elmo_mf.leaderboard import read_leaderboard

    with options_named({"margin": "--margin"}):
        return read_leaderboard(folder, margin).recommended()


def _published(margin: float) -> Recommendations:
    """Read the recommendations that were published with the board, whose records are not part of the package."""
    from elmo_mf.leaderboard import read_recommendations
    from elmo_mf.resources import published_recommendations

    recommendations = read_recommendations(published_recommendations())
    if margin != recommendations.margin:
        expected = f"{recommendations.margin:g} for the published leaderboard, or a FOLDER with records"
        raise InputError("--margin", f"found {margin:g}, expected {expected}")
    return recommendations
