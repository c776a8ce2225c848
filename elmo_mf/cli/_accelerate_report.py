"""What `elmo-mf accelerate` prints and writes about a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from elmo_mf.cli._console import Console
from elmo_mf.cli._terminal import echo

if TYPE_CHECKING:
    from allennlp.data import Instance

    from elmo_mf.acceleration import LoadedModel, Row, SearchResult

_VERDICTS = {"within": "yes", "worse": "no", "undecided": "?"}


def print_result(result: SearchResult) -> None:
    """Print the table of a search, and what it shows."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 0, 0, 1))
    for name in ("form", result.goal.name[:8], "loss, 95 % interval", "MB", "encoder", "model", "shown"):
        table.add_column(name, justify="left" if name in ("form", "shown") else "right", no_wrap=True)
    for row in result.rows:
        table.add_row(*_cells(row, row is result.winner))
    console = Console()
    console.print(table)
    for line in _legend(result):
        console.print(line, soft_wrap=True)


def _cells(row: Row, chosen: bool) -> list[str]:
    if not row.speeds:
        return [row.name, f"{row.score:.4f}", "", _megabytes(row), "1", "1", ""]
    loss, low, high = row.loss
    ratios = ["/".join(f"{ratio:.1f}" for ratio in _by_batch(row, kind)) for kind in ("encoder_ratio", "model_ratio")]
    shown = _VERDICTS[row.verdict] + (" *" if chosen else "")
    return [row.name, f"{row.score:.4f}", f"{loss:.2f} ({low:.2f} to {high:.2f})", _megabytes(row), *ratios, shown]


def _by_batch(row: Row, kind: str) -> list[float]:
    return [getattr(speed, kind) for speed in sorted(row.speeds, key=lambda speed: speed.batch)]


def _megabytes(row: Row) -> str:
    return f"{4 * row.encoder_parameters / 1e6:.1f}"


def _legend(result: SearchResult) -> list[str]:
    batches = " and ".join(str(speed.batch) for speed in result.rows[-1].speeds)
    return [
        f"loss: points of {result.goal.name} lost against the original on the same {result.examples:,} examples",
        "MB: size of the encoder's parameters in float32",
        f"encoder, model: times as fast as the original, at batch sizes {batches}, measured alternately in one process",
        f"shown: whether the loss of this form and of all less compressed ones is shown to be at most "
        f"{result.tolerance:g}; *: written",
        conclusion(result),
    ]


def conclusion(result: SearchResult) -> str:
    """Say in a sentence what the search shows."""
    tolerance = f"{result.tolerance:g} point{'' if result.tolerance == 1 else 's'}"
    name = result.winner.name
    if result.shown:
        return f"{name}: the fastest form shown to lose at most {tolerance} of {result.goal.name}"
    few = ""
    if result.resolution > result.tolerance:
        few = (
            f"; {result.examples:,} examples are too few to show this for any form: they cannot exclude a loss of "
            f"{result.resolution:.2f} points"
        )
    return (
        f"no form is shown to lose at most {tolerance}{few}; {name}, whose predictions are the original's, is written"
    )


def print_memory(original: int | None, result: int | None) -> None:
    """Print the peak memory of processes that load the archives and predict examples."""
    if result is None:
        return
    before = "unknown, because its files are missing" if original is None else f"{original / 1e6:,.0f} MB"
    echo(f"peak memory of a process that predicts: {result / 1e6:,.0f} MB (original: {before})")


def print_test(
    original: LoadedModel, winner: LoadedModel, result: SearchResult, instances: Sequence[Instance]
) -> dict[str, Any]:
    """Score the original and the result once on data that chose nothing, print both, and return them.

    Args:
        original: The original model.
        winner: The result.
        result: The search that chose it.
        instances: The examples.
    """
    from elmo_mf.acceleration import Comparison, evaluate

    theirs, counters = evaluate(original.model, instances, "the original")
    ours, _ = evaluate(winner.model, instances, "the result")
    loss = Comparison(theirs, counters, result.goal).loss(ours)
    name = result.goal.name
    echo(
        f"test, {len(instances):,} examples: {name} {ours.scores[name]:.4f}, original {theirs.scores[name]:.4f}, "
        f"loss {loss.estimate:+.2f} points ({loss.low:+.2f} to {loss.high:+.2f})"
    )
    return {
        "examples": len(instances),
        "original": theirs.scores,
        "result": ours.scores,
        "loss": [loss.estimate, loss.low, loss.high],
    }


def content(result: SearchResult) -> dict[str, Any]:
    """Return a search as JSON."""
    return {
        "metric": result.goal.name,
        "tolerance": result.tolerance,
        "examples": result.examples,
        "resolution": result.resolution,
        "written": result.winner.name,
        "shown": result.shown,
        "rows": [row.model_dump() for row in result.rows],
    }
