"""The figure of a search: score against speed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmo_mf.acceleration.form_search import Row, SearchResult
from elmo_mf.figures import COLORS, MARKERS, save, themed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VERDICTS = {"within": "within the tolerance", "undecided": "undecided", "worse": "worse"}


def plot_search(result: SearchResult, path: Path, theme: str = "light", batch: int = 1) -> None:
    """Plot what each form of the model loses, with its interval, against its speed.

    Args:
        result: The search.
        path: File to write; its suffix determines the format.
        theme: Theme of the figure. Defaults to `light`.
        batch: Batch size of the speed. Defaults to 1.
    """
    with themed(theme):
        save(_scatter(result, batch), path)


def _scatter(result: SearchResult, batch: int) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    candidates = list(dict.fromkeys(row.candidate for row in result.rows))
    for number, (verdict, label) in enumerate(_VERDICTS.items()):
        rows = [row for row in result.rows if row.verdict == verdict]
        ratios = [next(one.model_ratio or 0 for one in row.speeds if one.batch == batch) for row in rows]
        losses = [row.loss[0] for row in rows]
        reach = [[row.loss[0] - row.loss[1] for row in rows], [row.loss[2] - row.loss[0] for row in rows]]
        axes.errorbar(ratios, losses, reach, fmt=MARKERS[number], color=COLORS[number], capsize=3, label=label)
        for row, ratio in zip(rows, ratios, strict=True):
            axes.annotate(row.name, (ratio, row.loss[0]), **_beside(row, candidates.index(row.candidate) % 2 == 0))
    axes.axhline(result.tolerance, linestyle="--", linewidth=1, color=COLORS[6], label="tolerance")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(ScalarFormatter())
    axes.margins(x=0.2)
    axes.invert_yaxis()
    axes.set_xlabel(f"whole model, times as fast as the original at batch size {batch}")
    axes.set_ylabel(f"loss of {result.goal.name} in points, 95 % interval")
    figure.legend(loc="outside upper center", ncols=4, fontsize=8)
    return figure


def _beside(row: Row, above: bool) -> dict[str, Any]:
    """Place the label of a point: neighbouring forms, and the precisions of one, are often close together."""
    right = row.precision != "float32"
    return {
        "xytext": (5 if right else -5, 4 if above else -4),
        "textcoords": "offset points",
        "fontsize": 7,
        "ha": "left" if right else "right",
        "va": "bottom" if above else "top",
    }
