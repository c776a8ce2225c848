"""A board as pictures: score against speed, against size, and against rank.

Methods differ in colour and in marker, targets in line style, so that the pictures can be read in black and white.
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd

from elmo_mf.factorize import Compression
from elmo_mf.report.aggregate import Board, front
from elmo_mf.report.pictures import COLORS, MARKERS, save, themed
from elmo_mf.report.units import Unit

_LINES = {"input": "-", "recurrent": "--", "projection": ":", "all": "-.", "joint": (0, (5, 1, 1, 1))}


def plot_board(board: Board, path: Path, theme: str) -> None:
    """Write a picture of three panels; the same records give the same bytes."""
    from matplotlib.figure import Figure

    with themed(theme):
        figure = Figure(figsize=(13, 4.6), layout="constrained")
        axes = figure.subplots(1, 3)
        styles = _styles(board)
        _against(axes[0], board, "encoder_1_speed_up", "times as fast as dense, batch 1", styles, better=1)
        _against(axes[1], board, "parameters", "parameters", styles, better=-1)
        _by_rank(axes[2], board, styles)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        figure.suptitle(board.title)
        save(figure, path)


def _styles(board: Board) -> dict[str, tuple[str, str]]:
    """Colour and marker of each method."""
    methods = sorted({_compression(row).method for row in _compressed(board)})
    return dict(zip(methods, zip(cycle(COLORS), cycle(MARKERS), strict=False), strict=False))


def _compressed(board: Board) -> list[dict[str, Any]]:
    return [row for row in board.rows.to_dict("records") if row["compressed"]]  # type: ignore[misc]


def _compression(row: dict[str, Any]) -> Compression:
    return Compression.from_dict(row["compression"])


def _against(axes: Any, board: Board, column: str, label: str, styles: dict[str, tuple[str, str]], better: int) -> None:
    """Scores with their spread over seeds; the front as a line, dense as a star with a line across.

    `better` is 1 where more of the column is better, -1 where less is.
    """
    unit, rows = Unit.of(board.task), board.rows
    ink = axes.xaxis.label.get_color()
    for method, (color, marker) in styles.items():
        own = pd.DataFrame([row for row in _compressed(board) if _compression(row).method == method])
        axes.errorbar(
            own[column], unit.factor * own["score"], yerr=unit.factor * own["std"].fillna(0), fmt=marker, color=color,
            markeredgecolor=ink, markeredgewidth=0.6, elinewidth=0.8, label=method,
        )  # fmt: skip
    dense = rows[~rows["compressed"]]
    axes.scatter(dense[column], unit.factor * dense["score"], marker="*", s=130, color=ink, label="dense", zorder=3)
    for score in dense["score"]:
        axes.axhline(unit.factor * score, color=ink, linewidth=0.6, linestyle=(0, (1, 3)))
    best = rows[front(rows["goodness"], -better * rows[column])].sort_values(column)
    axes.plot(best[column], unit.factor * best["score"], color=ink, linewidth=0.8, alpha=0.6, zorder=0)
    axes.set_xscale("log")
    axes.set_xlabel(label)
    _score_axis(axes, unit)
    _plain(axes.xaxis)


def _score_axis(axes: Any, unit: Unit) -> None:
    """Perplexities are compared by their ratios."""
    if unit.factor == 1:
        axes.set_yscale("log")
        _plain(axes.yaxis)
    axes.set_ylabel(unit.title)


def _plain(axis: Any) -> None:
    """Some numbers on a logarithmic axis, as people write them."""
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=[1, 2, 5]) if high > 4 * low else MaxNLocator(5))
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_locator(NullLocator())


def line_of(one: Compression) -> str | None:
    """Which compressions differ in rank alone, in a word; None where they have more to them."""
    plain = one.layers == one.directions == "all" and one.granularity == "stacked" and isinstance(one.rank, int)
    return f"{one.method} {one.targets_text}" if plain and one.of_lstms_alone else None


def _by_rank(axes: Any, board: Board, styles: dict[str, tuple[str, str]]) -> None:
    """A line a method and target that were run at several ranks, all layers together."""
    unit, lines = Unit.of(board.task), dict[tuple[str, str], list[tuple[int, float]]]()
    for row in _compressed(board):
        one = _compression(row)
        if isinstance(one.rank, int) and line_of(one):
            targets = "all" if len(one.targets) > 1 else one.targets[0]
            lines.setdefault((one.method, targets), []).append((one.rank, unit.factor * row["score"]))
    for (method, target), points in sorted(lines.items()):
        color, marker = styles[method]
        if len(points) > 1:
            ranks, scores = zip(*sorted(points), strict=True)
            axes.plot(
                ranks, scores, color=color, linestyle=_LINES[target], marker=marker, label=f"{method} {target}"
            )  # fmt: skip
    axes.set_xscale("log", base=2)
    shown = sorted({rank for points in lines.values() if len(points) > 1 for rank, _ in points})
    axes.set_xticks(shown, [str(rank) for rank in shown])
    axes.minorticks_off()
    axes.set_xlabel("rank")
    _score_axis(axes, unit)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8)
    else:
        axes.text(0.5, 0.5, "no method at several ranks", ha="center", transform=axes.transAxes)
