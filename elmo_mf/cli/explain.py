"""`elmo-mf explain`: the paper's analysis on a sweep's records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from elmo_mf.cli._output_options import Force, check_own, check_unused
from elmo_mf.cli._terminal import echo
from elmo_mf.io import check_output, write_json

if TYPE_CHECKING:
    import pandas as pd

    from elmo_mf.cli._console import Console


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
    from elmo_mf.cli._console import Console

    if json_file is not None:
        check_output("--json", json_file)
        check_unused([json_file], force)
    check_own({folder / "EXPLAIN.md": "# What compresses, and why\n"}, force)
    from elmo_mf.analysis import answer_lines, cost_table, findings, norm_summary, write_explanation
    from elmo_mf.escape import plain

    path, summary, explanations = write_explanation(folder)
    console = Console()
    for explanation in explanations:
        _print(console, explanation.board.title, cost_table(explanation))
        _print(console, "Spearman's correlations; *: the interval excludes zero", norm_summary(explanation))
    for line in [*findings(explanations), *answer_lines(summary)]:
        console.print(plain(line), soft_wrap=True)
    if json_file is not None:
        of_boards = {explanation.board.name: explanation.to_dict() for explanation in explanations}
        write_json(json_file, {"all": summary.to_dict(), **of_boards})
    echo(f"wrote {path}")


def _print(console: Console, title: str, frame: pd.DataFrame) -> None:
    from rich.table import Table

    shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in frame.columns:
        shown.add_column(str(name))
    for row in frame.itertuples(index=False):
        shown.add_row(*map(str, row))
    console.print(shown)
    console.print()
