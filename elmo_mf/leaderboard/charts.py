"""A board as pictures: score against speed, against size, and against rank.

Methods differ in colour and in marker, targets in line style, so that the pictures can be read in black and white. What
was trained again after factorization, and the dense encoder that it is compared with, is hollow.
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any, cast

import numpy as np

from elmo_mf.figures import COLORS, MARKERS, save, themed
from elmo_mf.leaderboard.aggregate import Board, front
from elmo_mf.leaderboard.settings import leaves
from elmo_mf.leaderboard.units import Unit
from elmo_mf.records.compression import Compression
from elmo_mf.records.compressions import compression_of
from elmo_mf.records.encoders import distinct
from elmo_mf.records.labels import targets_label
from elmo_mf.tasks.grid import digest

_MOST_RANKS = 24  # of which each has a number on the axis; of more, powers of two have

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
        handles = _handles(board, styles)
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
        figure.suptitle(board.title)
        save(figure, path)


def _styles(board: Board) -> dict[str, dict[str, Any]]:
    """What the marks of each method look like, and of dense."""
    from matplotlib import rcParams

    ink = rcParams["lines.color"]
    methods = sorted({_method(row) for row in _rows(board) if row["compressed"]})
    pairs = zip(methods, zip(cycle(COLORS), cycle(MARKERS), strict=False), strict=False)
    styles = {method: {"color": color, "marker": marker, "markersize": 6} for method, (color, marker) in pairs}
    dense = {"dense": {"color": ink, "marker": "*", "markersize": 11}}
    return {name: style | {"markeredgecolor": ink, "markeredgewidth": 0.6} for name, style in (dense | styles).items()}


def _hollow(style: dict[str, Any]) -> dict[str, Any]:
    from matplotlib import rcParams

    ground = rcParams["axes.facecolor"]
    return style | {"markerfacecolor": ground, "markeredgecolor": style["color"], "markeredgewidth": 1.2}


def _handles(board: Board, styles: dict[str, dict[str, Any]]) -> list[Any]:
    """Of the legend."""
    from matplotlib.lines import Line2D

    shown = dict(styles)
    if board.rows["trained_again"].any():
        shown["trained again"] = _hollow(styles["dense"] | {"marker": "o", "markersize": 6})
    return [Line2D([], [], linestyle="", label=name, **style) for name, style in shown.items()]


def _rows(board: Board) -> list[dict[str, Any]]:
    return board.rows.to_dict("records")  # type: ignore[return-value]


def _compression(row: dict[str, Any]) -> Compression:
    return compression_of(row["compression"])


def _method(row: dict[str, Any]) -> str:
    return _compression(row).method if row["compressed"] else "dense"


def _against(axes: Any, board: Board, column: str, label: str, styles: dict[str, dict[str, Any]], better: int) -> None:
    """Scores with their spread over seeds; the front as a line, and a line across for each dense encoder.

    `better` is 1 where more of the column is better, -1 where less is.
    """
    unit, rows = Unit.of(board.task), board.rows
    ink = axes.xaxis.label.get_color()
    looks = rows.assign(method=list(map(_method, _rows(board)))).groupby(["compressed", "method", "trained_again"])
    for look, own in looks:
        compressed, method, again = cast(tuple[bool, str, bool], look)
        style = styles[method]
        axes.errorbar(
            own[column], unit.factor * own["score"], yerr=unit.factor * np.nan_to_num(own["std"]), linestyle="",
            elinewidth=0.8, zorder=2 if compressed else 3, **(_hollow(style) if again else style),
        )  # fmt: skip
    for score in rows[~rows["compressed"]]["score"]:
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


def lines_of(board: Board) -> dict[str, str]:
    """By key of its encoder, the name of the line that a compression is on with those that differ in rank alone.

    Those that have more to them than a method, targets and a rank are on none.
    """
    facts = {row["key"]: _without_rank(_compression(row)) for row in _rows(board) if _has_line(row)}
    lines = {key: digest(own) for key, own in facts.items()}
    labels = {line: f"{facts[key]['method']} {facts[key]['targets']}" for key, line in lines.items()}
    names = distinct(labels, {line: dict(leaves(facts[key])) for key, line in lines.items()})
    return {key: names[line] for key, line in lines.items()}


def _has_line(row: dict[str, Any]) -> bool:
    if not row["compressed"]:
        return False
    one = _compression(row)
    plain = one.layers == one.directions == "all" and one.granularity == "stacked" and isinstance(one.rank, int)
    return plain and one.only_lstm_factors


def _without_rank(one: Compression) -> dict[str, Any]:
    return {"targets": targets_label(one)} | {k: v for k, v in one.to_dict().items() if k not in ("rank", "targets")}


def _by_rank(axes: Any, board: Board, styles: dict[str, dict[str, Any]]) -> None:
    """A line a method and target that were run at several ranks, all layers together."""
    unit, names, lines = Unit.of(board.task), lines_of(board), dict[str, list[dict[str, Any]]]()
    for row in _rows(board):
        if row["key"] in names:
            lines.setdefault(names[row["key"]], []).append(row)
    lines = {name: rows for name, rows in lines.items() if len(rows) > 1}
    for name, rows in sorted(lines.items()):
        one = _compression(rows[0])
        style = {key: styles[one.method][key] for key in ("color", "marker")}
        ranks, scores = zip(*sorted((_compression(row).rank, unit.factor * row["score"]) for row in rows), strict=True)
        target = "all" if len(one.targets) > 1 else one.targets[0]
        axes.plot(ranks, scores, linestyle=_LINES[target], label=name, **style)
    axes.set_xscale("log", base=2)
    shown = sorted({row["compression"]["rank"] for rows in lines.values() for row in rows})
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
