"""Figures of a board: score against speed, size and rank.

Methods differ in colour and marker, targets in line style, so that figures can be read in black and white. Markers of
encoders that were trained after factorization, and of dense ones to compare them with, are hollow.
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any, cast

import numpy as np

from elmo_mf.figures import COLORS, MARKERS, save, themed
from elmo_mf.leaderboard.aggregate import Board, Row, pareto_front
from elmo_mf.leaderboard.units import Unit
from elmo_mf.records.digest import digest
from elmo_mf.records.labels import distinct, leaves, targets_label

_MOST_RANKS = 24  # largest number of ranks that all have a label on the axis; if there are more, powers of two have

_LINES = {"input": "-", "recurrent": "--", "projection": ":", "all": "-.", "joint": (0, (5, 1, 1, 1))}


def plot_board(board: Board, path: Path, theme: str) -> None:
    """Write a figure of three panels; the same records give the same bytes."""
    from matplotlib.figure import Figure

    with themed(theme):
        figure = Figure(figsize=(13, 4.6), layout="constrained")
        axes = figure.subplots(1, 3)
        styles = _styles(board)
        _against(axes[0], board, "encoder_1_speed_up", "times as fast as dense, batch 1", styles, better=1)
        _against(axes[1], board, "parameters", "parameters", styles, better=-1)
        _by_rank(axes[2], board, styles)
        handles = _handles(board, styles)
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
        figure.suptitle(board.title)
        save(figure, path)


def _styles(board: Board) -> dict[str, dict[str, Any]]:
    """Return the style of each method's markers, and of the dense encoder's."""
    from matplotlib import rcParams

    ink = rcParams["lines.color"]
    methods = sorted({row.method for row in board.rows if row.compressed})
    pairs = zip(methods, zip(cycle(COLORS), cycle(MARKERS), strict=False), strict=False)
    styles = {method: {"color": color, "marker": marker, "markersize": 6} for method, (color, marker) in pairs}
    dense = {"dense": {"color": ink, "marker": "*", "markersize": 11}}
    return {name: style | {"markeredgecolor": ink, "markeredgewidth": 0.6} for name, style in (dense | styles).items()}


def _hollow(style: dict[str, Any]) -> dict[str, Any]:
    from matplotlib import rcParams

    ground = rcParams["axes.facecolor"]
    return style | {"markerfacecolor": ground, "markeredgecolor": style["color"], "markeredgewidth": 1.2}


def _handles(board: Board, styles: dict[str, dict[str, Any]]) -> list[Any]:
    """Return the entries of the legend."""
    from matplotlib.lines import Line2D

    shown = dict(styles)
    if any(row.trained_again for row in board.rows):
        shown["trained again"] = _hollow(styles["dense"] | {"marker": "o", "markersize": 6})
    return [Line2D([], [], linestyle="", label=name, **style) for name, style in shown.items()]


def _against(axes: Any, board: Board, column: str, label: str, styles: dict[str, dict[str, Any]], better: int) -> None:
    """Draw scores with their spread over seeds, the Pareto front, and a horizontal line for each dense encoder.

    `better` is 1 where higher values of the column are better, -1 where lower ones are.
    """
    unit, rows = Unit.of(board.scoring), board.frame
    ink = axes.xaxis.label.get_color()
    looks = rows.assign(method=[row.method for row in board.rows]).groupby(["compressed", "method", "trained_again"])
    for look, encoders in looks:
        compressed, method, again = cast(tuple[bool, str, bool], look)
        style = styles[method]
        axes.errorbar(
            encoders[column], unit.factor * encoders["score"], yerr=unit.factor * np.nan_to_num(encoders["std"]),
            linestyle="", elinewidth=0.8, zorder=2 if compressed else 3, **(_hollow(style) if again else style),
        )  # fmt: skip
    for score in rows[~rows["compressed"]]["score"]:
        axes.axhline(unit.factor * score, color=ink, linewidth=0.6, linestyle=(0, (1, 3)))
    best = rows[pareto_front(rows["signed_score"], -better * rows[column])].sort_values(column)
    axes.plot(best[column], unit.factor * best["score"], color=ink, linewidth=0.8, alpha=0.6, zorder=0)
    axes.set_xscale("log")
    axes.set_xlabel(label)
    _score_axis(axes, unit)
    _plain(axes.xaxis)


def _score_axis(axes: Any, unit: Unit) -> None:
    """Set up the axis of scores, which is logarithmic for perplexities."""
    if unit.factor == 1:
        axes.set_yscale("log")
        _plain(axes.yaxis)
    axes.set_ylabel(unit.title)


def _plain(axis: Any) -> None:
    """Label a logarithmic axis with a few plain numbers."""
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=[1, 2, 5]) if high > 4 * low else MaxNLocator(5))
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_locator(NullLocator())


def lines_of(board: Board) -> dict[str, str]:
    """Name the line of each encoder, which connects encoders that differ only in rank.

    Encoders with other options than a method, targets and one rank are on no line.

    Returns:
        Names of lines by the encoder's key.
    """
    facts = {row.key: _without_rank(row) for row in board.rows if _has_line(row)}
    lines = {key: digest(shared) for key, shared in facts.items()}
    labels = {line: f"{facts[key]['method']} {facts[key]['targets']}" for key, line in lines.items()}
    names = distinct(labels, {line: dict(leaves(facts[key])) for key, line in lines.items()})
    return {key: names[line] for key, line in lines.items()}


def _has_line(row: Row) -> bool:
    one = row.compression
    if one is None:
        return False
    plain = one.layers == one.directions == "all" and one.granularity == "stacked" and isinstance(one.rank, int)
    return plain and one.only_lstm_factors


def _without_rank(row: Row) -> dict[str, Any]:
    """Return the facts that the encoders of a line share."""
    assert row.compression is not None
    settings = {key: value for key, value in row.compression.to_dict().items() if key not in ("rank", "targets")}
    shared = {"targets": targets_label(row.compression), **settings, "versions": row.identity.versions}
    return shared | ({"gradients": "own"} if row.identity.task_gradients else {})


def _rank(row: Row) -> int:
    assert row.compression is not None and isinstance(row.compression.rank, int)
    return row.compression.rank


def _line_target(row: Row) -> str:
    """Return the target that the style of a line shows."""
    assert row.compression is not None
    return "all" if len(row.compression.targets) > 1 else row.compression.targets[0]


def _by_rank(axes: Any, board: Board, styles: dict[str, dict[str, Any]]) -> None:
    """Draw a line for each method and target that has several ranks."""
    unit, names, lines = Unit.of(board.scoring), lines_of(board), dict[str, list[Row]]()
    for row in board.rows:
        if row.key in names:
            lines.setdefault(names[row.key], []).append(row)
    lines = {name: rows for name, rows in lines.items() if len(rows) > 1}
    for name, rows in sorted(lines.items()):
        style = {key: styles[rows[0].method][key] for key in ("color", "marker")}
        ranks, scores = zip(*sorted((_rank(row), unit.factor * row.score) for row in rows), strict=True)
        axes.plot(ranks, scores, linestyle=_LINES[_line_target(rows[0])], label=name, **style)
    axes.set_xscale("log", base=2)
    shown = sorted({_rank(row) for rows in lines.values() for row in rows})
    if len(shown) > _MOST_RANKS:
        shown = [rank for rank in (1 << power for power in range(shown[-1].bit_length())) if rank >= shown[0] / 2]
    axes.set_xticks(shown, [str(rank) for rank in shown])
    axes.minorticks_off()
    axes.set_xlabel("rank")
    _score_axis(axes, unit)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8)
    else:
        axes.text(0.5, 0.5, "no method at several ranks", ha="center", transform=axes.transAxes)
