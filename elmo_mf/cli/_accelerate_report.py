"""Printed report of `elmo-mf accelerate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elmo_mf.cli._console import Console
from elmo_mf.cli._terminal import echo

if TYPE_CHECKING:
    from elmo_mf.acceleration import AcceleratedArchive, Row, SearchResult

_VERDICTS = {"within": "yes", "worse": "no", "undecided": "?"}


def print_result(result: AcceleratedArchive) -> None:
    """Print the measurements of an archive that was written, and what they show."""
    if result.search is not None:
        _print_forms(result.search)
        notes = result.notes()[1:]  # the first is in the legend
    else:
        notes = result.notes()
    for line in notes:
        echo(line)
    if result.search is None:
        for speed in result.speeds:
            echo(
                f"encoder, {speed.batch} sentence{'s' if speed.batch > 1 else ''}: {speed.encoder_ms:.1f} ms, "
                f"{speed.encoder_ratio:.1f} times as fast as AllenNLP's"
            )


def _print_forms(result: SearchResult) -> None:
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
    return f"{row.encoder_bytes / 1e6:.1f}"


def _legend(result: SearchResult) -> list[str]:
    batches = " and ".join(str(speed.batch) for speed in result.rows[-1].speeds)
    return [
        result.notes()[0],
        "MB: size of the encoder's parameters in an archive of this form",
        f"encoder, model: times as fast as the original, at batch sizes {batches}, measured alternately in one process",
        f"shown: whether the loss of this form and of all less compressed ones is shown to be at most "
        f"{result.tolerance:g}; *: written",
    ]
