"""`elmo-mf explain`: the paper's analysis on a sweep's records."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from elmo_mf.cli._output_options import Force, check_own, check_unused
from elmo_mf.cli._terminal import echo
from elmo_mf.io import check_output, write_json
from elmo_mf.leaderboard import check_records

if TYPE_CHECKING:
    import pandas as pd


def explain(
    folder: Path = typer.Argument(help="Output folder of a sweep."),
    json_file: Path | None = typer.Option(None, "--json", help="Also write the numbers to this file."),
    force: Force = False,
) -> None:
    """Write EXPLAIN.md and figures into a sweep's output folder, and print the tables.

    Reports what compressing each target of each layer costs in score and activation error per parameter saved, how both
    correlate with the norms of the dense matrices, and where this agrees with Winata et al. 2019. The sweep must
    contain compressions of a single target, and the dense encoder with the same seeds.

    Examples:

    \b
      elmo-mf sweep --tasks snli --targets input,recurrent,projection --ranks 4 --seeds 1,2,3 --output runs/why
      elmo-mf explain runs/why
    """
    if json_file is not None:
        check_output("--json", json_file)
        check_unused([json_file], force)
    check_records(folder)
    check_own({folder / "EXPLAIN.md": "# What compresses, and why\n"}, force)
    from elmo_mf.analysis import answer_lines, cost_table, findings, norm_summary, write_explanation
    from elmo_mf.cli._console import Console
    from elmo_mf.cli._fitted_table import fitted_table
    from elmo_mf.escape import plain

    path, summary, explanations = write_explanation(folder)
    console = Console()
    for explanation in explanations:
        title, costs = _narrow(explanation.board.title, cost_table(explanation))
        norms = norm_summary(explanation)
        console.print(fitted_table(title, costs, console.width, left=3, gap=1), "")
        console.print(fitted_table("Spearman's correlations; *: the interval excludes zero", norms, console.width), "")
    for line in map(plain, [*findings(explanations), *answer_lines(summary)]):
        wrapped = textwrap.wrap(line, console.width, subsequent_indent="  ") if console.is_terminal else [line]
        console.print("\n".join(wrapped), soft_wrap=True)
    if json_file is not None:
        of_boards = {explanation.board.name: explanation.to_dict() for explanation in explanations}
        write_json(json_file, {"all": summary.to_dict(), **of_boards})
    echo(f"wrote {path}")


def _narrow(title: str, costs: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Return a table of costs with its title, of fewer columns: targets with their layers, and seeds in the title."""
    layers = [f" {layer}" if layer != "all" else "" for layer in costs["layer"]]
    narrow = costs.drop(columns="layer").assign(target=costs["target"] + layers).rename(columns={"target": "matrices"})
    if costs["seeds"].nunique() > 1:
        return title, narrow
    seeds = costs["seeds"].iloc[0]
    return f"{title}; {seeds} seed{'' if seeds == '1' else 's'}", narrow.drop(columns="seeds")
