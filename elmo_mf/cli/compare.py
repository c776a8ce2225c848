"""`elmo-mf compare`: what changed between two sweeps."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from math import isfinite, isnan
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from elmo_mf.cli._output_options import Force, check_unused
from elmo_mf.cli._terminal import echo
from elmo_mf.errors import InputError
from elmo_mf.leaderboard import MARGIN, check_records

if TYPE_CHECKING:
    from elmo_mf.leaderboard import Comparison


def compare(
    first: Path = typer.Argument(help="Output folder of a sweep."),
    second: Path = typer.Argument(help="Output folder of another sweep."),
    margin: float = typer.Option(
        MARGIN, help="Largest loss treated as negligible: points, or units of perplexity.", min=0
    ),
    json_file: Path | None = typer.Option(None, "--json", help="Also write the numbers to this file."),
    force: Force = False,
) -> None:
    """Compare two sweeps: scores of the same encoders with the same seeds, and what else is different.

    A difference is the mean over seeds of the second's score minus the first's, with its 95 % interval and a verdict,
    as on the board. Speeds are ratios of the encoders' median times at batch 1, comparable on one machine only.

    Examples:

    \b
      elmo-mf compare runs/before runs/after
      elmo-mf compare runs/before runs/after --margin 2 --json differences.json
    """
    from elmo_mf.io import check_output, write_json

    if not isfinite(margin):
        raise InputError("--margin", f"found {margin}, expected a number")
    if json_file is not None:
        check_output("--json", json_file)
        check_unused([json_file], force)
    check_records(first)
    check_records(second)
    from elmo_mf.leaderboard import compare as compare_folders

    comparisons = compare_folders(first, second, margin=margin)
    for one in comparisons:
        _print(one)
    if json_file is not None:
        write_json(json_file, {one.task: _as_json(one) for one in comparisons})


def _print(comparison: Comparison) -> None:
    from rich.table import Table

    from elmo_mf.cli._console import Console
    from elmo_mf.leaderboard import SIGN, Unit, verdict

    unit, console = Unit.of(comparison.scoring), Console()
    shown = Table(title=f"{comparison.title}: {unit.title}", title_justify="left", box=None, pad_edge=False)
    for name in ("encoder", "first", "second", "95 % of change", "", "faster"):
        shown.add_column(name, justify="left" if name in ("encoder", "") else "right", no_wrap=name != "encoder")
    for row in comparison.rows:
        interval = "" if isnan(row.low) else f"[{unit.signed(row.low)}, {unit.signed(row.high)}]"
        scores = unit.text(row.first), unit.text(row.second)
        change = f"{verdict(row)} {SIGN}" if row.mixed else verdict(row)
        speed = f"{row.speed:.2f}x" + (f" {SIGN}" if row.timed_apart else "")
        shown.add_row(row.encoder, *scores, interval, change, speed)
    console.print(shown)
    if any(row.mixed or row.timed_apart for row in comparison.rows):
        console.print(f"{SIGN} on different kinds of machine: this alone changes scores as much as another seed does,")
        console.print("  and times are not comparable")
    counts = Counter(map(verdict, comparison.rows))
    console.print(
        f"{len(comparison.rows)} encoders: {', '.join(f'{count} {change}' for change, count in counts.items())}"
    )
    for title, names in (("only in the first", comparison.only_first), ("only in the second", comparison.only_second)):
        if names:
            console.print(f"{title}: {', '.join(names)}", soft_wrap=True)
    for change in comparison.changed:
        echo(f"changed: {change}")
    console.print()


def _as_json(comparison: Comparison) -> dict[str, object]:
    rows = [{name: _known(value) for name, value in asdict(row).items()} for row in comparison.rows]
    return {
        "rows": rows,
        "changed": comparison.changed,
        "only_first": comparison.only_first,
        "only_second": comparison.only_second,
    }


def _known(value: object) -> object:
    """Return a value as JSON has it: null for a number that is not known."""
    return None if isinstance(value, float) and isnan(value) else value
