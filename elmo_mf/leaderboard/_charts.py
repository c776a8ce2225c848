"""The plot of a board: scores against speed, size or rank, as Vega-Lite for the figures and for the page.

Methods differ in colour and marker, targets in line style, so that the plot can be read in black and white. Markers of
encoders that were trained after factorization, and of dense ones to compare them with, are hollow. A star stands above
the recommended encoder, and none of the markers is one of the signs of the tables.

A specification takes the points from the data set `points`, and the colours of text and background from parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle
from typing import Any

import altair as alt
import numpy as np
from altair.utils.schemapi import debug_mode

from elmo_mf.figures import COLORS, THEMES
from elmo_mf.leaderboard._points import AXES, Axis, Point, look_of, points
from elmo_mf.leaderboard._units import Unit
from elmo_mf.leaderboard.aggregate import Board

_FIGURE = ("encoder_1_speed_up", "megabytes", "rank")  # keys of the axes of a figure's panels
_MOST_RANKS = 24  # largest number of ranks that are all labelled on the axis; else powers of two are
_FEW = 8  # of so few scores, none counts as an outlier
_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"  # the first is in vl-convert: the same layout on every machine
_STAR = "M0,-1.3L.29,-.4L1.24,-.4L.47,.15L.76,1.05L0,.5L-.76,1.05L-.47,.15L-1.24,-.4L-.29,-.4Z"
_PENTAGON = "M0,-1L.95,-.31L.59,.81L-.59,.81L-.95,-.31Z"
_HEXAGON = "M-1,0L-.5,-.87L.5,-.87L1,0L.5,.87L-.5,.87Z"
_X = "M-1,-.5L-.5,-1L0,-.5L.5,-1L1,-.5L.5,0L1,.5L.5,1L0,.5L-.5,1L-1,.5L-.5,0Z"
_SHAPES = (
    "circle", "square", "triangle-up", _PENTAGON, "triangle-down", "triangle-left", "triangle-right", "cross", _X
)  # fmt: skip
_DASHES = {"input": [1, 0], "recurrent": [6, 4], "projection": [2, 2], "all": [7, 3, 2, 3], "joint": [9, 2, 2, 2]}
_OTHER_DASHES = ([3, 3], [12, 3], [9, 2, 2, 2, 2, 2], [5, 2, 1, 2, 1, 2])
_INK, _GROUND = alt.ExprRef("ink"), alt.ExprRef("ground")


def methods_of(boards: Iterable[Board]) -> list[str]:
    """Return the methods on some boards in the order of their colours, which are the same on all of these boards."""
    return sorted({row.method for board in boards for row in board.rows if row.compressed or row.is_baseline})


def plots(board: Board, methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the page's plots of a board by key of their axis, without their data.

    Args:
        board: The board.
        methods: See `methods_of`.
    """
    page = {
        "width": "container",
        "height": 380,
        "autosize": {"type": "fit", "contains": "padding"},
        **_settings(font="system-ui, sans-serif", size=12, columns=alt.ExprRef("width < 500 ? 2 : 9")),
    }
    return {axis.key: panel | page for axis, panel in _panels(board, points(board), methods).items()}


def figure(board: Board, methods: Sequence[str]) -> dict[str, Any]:
    """Return the figure of a board: plots against speed, megabytes and rank.

    Encoders of which only some layers or directions are compressed are left out, unless there are no others.

    Args:
        board: The board.
        methods: See `methods_of`.
    """
    whole = [point for point, row in zip(points(board), board.rows, strict=True) if not row.is_partial]
    known = whole if any(point["compressed"] for point in whole) else points(board)
    panels = {axis.key: panel for axis, panel in _panels(board, known, methods).items()}
    return {
        "title": {"text": board.title, "anchor": "middle"},
        "description": board.title,
        "hconcat": [panels[key] | {"width": 330, "height": 310} for key in _FIGURE if key in panels],
        "datasets": {"points": known},
        **_settings(font=_FONT, size=11, columns=9),
    }


def _settings(font: str, size: int, columns: int | alt.ExprRef) -> dict[str, Any]:
    """Return the shared part of a specification: the parameters, with the colours of the light theme, and the style.

    Args:
        font: Names of fonts.
        size: Size of text in pixels.
        columns: Number of columns of the legend.
    """
    ground, ink = THEMES["light"]
    text: dict[str, Any] = {
        "labelColor": _INK, "titleColor": _INK, "labelFontSize": size, "titleFontSize": size,
        "titleFontWeight": "normal",
    }  # fmt: skip
    lines: dict[str, Any] = {"gridColor": _INK, "gridOpacity": 0.1, "tickColor": _INK, "tickOpacity": 0.3}
    config = alt.Config(
        background=_GROUND,
        font=font,
        view=alt.ViewConfig(stroke=_INK, strokeOpacity=0.3),
        title=alt.TitleConfig(color=_INK, fontSize=size + 2, fontWeight="normal"),
        axis=alt.AxisConfig(**text, **lines, domain=False, tickCount=6, labelOverlap="greedy", labelSeparation=6),
        axisX=alt.AxisConfig(grid=False),
        legend=alt.LegendConfig(**text, titleOrient="left", orient="bottom", columns=columns, symbolStrokeWidth=1),
    )
    parameters = [{"name": "ink", "value": ink}, {"name": "ground", "value": ground}]
    return {"$schema": alt.SCHEMA_URL, "params": parameters, "config": config.to_dict()}


def _panels(board: Board, known: Sequence[Point], methods: Sequence[str]) -> dict[Axis, dict[str, Any]]:
    """Return a plot for each axis on which a point has a value, without the data, parameters and style."""
    looks, unit = _looks(board, methods), Unit.of(board.scoring)
    targets = tuple(sorted({str(point["targets"]) for point in known if point["line"] is not None}))
    ranks = tuple(sorted({point["rank"] for point in known if isinstance(point["rank"], int)}))
    shown = [axis for axis in AXES if any(point[axis.key] is not None for point in known)]
    reach = _reach(known, unit)
    with debug_mode(False):  # Altair validates every part when it is made, which takes longer than the rest
        return {axis: _panel(axis, unit, looks, targets, ranks, reach) for axis in shown}


def _reach(known: Sequence[Point], unit: Unit) -> tuple[float, float] | None:
    """Return axis limits that exclude outliers, or None if no limits are needed.

    Outliers are farther from the middle half of the scores than three times its height; they are drawn at the edge.
    """
    scores = np.array([point["score"] for point in known if point["score"] is not None], np.float64)
    scale = scores if unit.is_share else np.log(scores[scores > 0])
    if len(scale) < _FEW:
        return None
    low, high = np.quantile(scale, [0.25, 0.75])
    inside = scale[(scale >= low - 3 * (high - low)) & (scale <= high + 3 * (high - low))]
    if len(inside) == len(scale) or np.ptp(inside) == 0:
        return None
    margin = np.ptp(inside) / 20
    ends = inside.min() - margin, inside.max() + margin
    first, last = ends if unit.is_share else np.exp(ends)
    return float(f"{first:.6g}"), float(f"{last:.6g}")


@dataclass(frozen=True)
class _Look:
    """A marker, in the colour of text if it has none of its own."""

    name: str
    color: str | None
    shape: str
    hollow: bool = False
    in_legend: bool = True


def _looks(board: Board, methods: Sequence[str]) -> tuple[_Look, ...]:
    """Return a marker for each method, hollow ones for encoders trained again, and a legend entry for these."""
    pairs = dict(zip(methods, zip(cycle(COLORS), cycle(_SHAPES), strict=False), strict=False))
    rows = sorted(board.rows, key=lambda row: (row.method == "dense", row.method))
    plain = {row.method: _Look(row.method, *pairs.get(row.method, (None, _HEXAGON))) for row in rows}
    again = {look_of(row): plain[row.method] for row in rows if row.trained_again}
    hollow = [replace(look, name=name, hollow=True, in_legend=False) for name, look in again.items()]
    legend = [_Look("trained again", None, "circle", hollow=True)] if hollow else []
    return tuple({look.name: look for look in (*plain.values(), *hollow, *legend)}.values())


class _Scales:
    """Scales of colours, markers and line styles.

    Args:
        looks: The markers.
        targets: Names of targets.
    """

    def __init__(self, looks: Sequence[_Look], targets: Sequence[str]) -> None:
        legend = alt.Legend(title=None, values=[look.name for look in looks if look.in_legend])
        names = [look.name for look in looks]

        def scale(values: list[Any]) -> alt.Scale:
            return alt.Scale(domain=names, range=values)

        colors = [look.color or _INK for look in looks]
        fills = [_GROUND if look.hollow else look.color or _INK for look in looks]
        strokes = [look.color or _INK if look.hollow else _INK for look in looks]
        self.color = alt.Color("look:N", legend=None, scale=scale(colors))
        self.fill = alt.Fill("look:N", legend=legend, scale=scale(fills))
        self.stroke = alt.Stroke("look:N", legend=legend, scale=scale(strokes))
        self.shape = alt.Shape("look:N", legend=legend, scale=scale([look.shape for look in looks]))
        others = dict(zip((name for name in targets if name not in _DASHES), cycle(_OTHER_DASHES), strict=False))
        dashes = alt.Scale(domain=list(targets), range=[(_DASHES | others)[name] for name in targets])
        self.dash = alt.StrokeDash("targets:N", title="targets:", legend=alt.Legend(symbolSize=400), scale=dashes)


@cache
def _panel(
    axis: Axis,
    unit: Unit,
    looks: tuple[_Look, ...],
    targets: tuple[str, ...],
    ranks: tuple[int, ...],
    reach: tuple[float, float] | None,
) -> dict[str, Any]:
    """Return one plot: dense scores as horizontal lines, the Pareto front or lines by rank, intervals, and markers."""
    scales, x, y = _Scales(looks, targets), _x(axis, ranks), _y(unit, reach)
    scored = alt.Chart(alt.NamedData("points")).transform_filter("isValid(datum.score)")
    known = scored.transform_filter(f"isValid(datum.{axis.key})")
    dense = (
        scored.transform_filter("datum.dense")
        .mark_rule(color=_INK, strokeWidth=0.6, strokeDash=[1, 3], aria=False)
        .encode(y=y)
    )
    if axis.key == "rank":
        lines = (
            known.transform_filter("isValid(datum.line)")
            .mark_line(opacity=0.8, strokeWidth=1.5, aria=False)
            .encode(x=x, y=y, detail="line:N", color=scales.color, strokeDash=scales.dash)
        )
    else:
        lines = _pareto_front(known, axis, unit).mark_line(color=_INK, opacity=0.6, strokeWidth=0.8, aria=False)
        lines = lines.encode(x=x, y=y)
    spread = (
        known.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=0.8, aria=False)
        .encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=scales.color)
    )
    tooltip = [
        alt.Tooltip("encoder:N"), alt.Tooltip("text:N", title=unit.title),
        alt.Tooltip(f"{axis.key}:Q", title=axis.title, format=",.4~g"),
    ]  # fmt: skip
    markers = known.mark_point(size=70, opacity=1).encode(
        x=x, y=y, fill=scales.fill, stroke=scales.stroke, shape=scales.shape,
        strokeWidth=alt.condition("datum.hollow", alt.value(1.4), alt.value(0.6)),
        order=alt.Order("compressed:N", sort="descending"), description="encoder:N", tooltip=tooltip,
    )  # fmt: skip
    taken = known.transform_filter("datum.recommended").mark_point(
        shape=_STAR, size=80, opacity=1, fill=_INK, stroke=_GROUND, strokeWidth=0.6, yOffset=-13, aria=False
    )
    star = taken.encode(x=x, y=y)
    # without points, lines would leave a logarithmic axis without ends
    layers = (
        [dense, spread, markers, star] if axis.key == "rank" and not targets else [dense, lines, spread, markers, star]
    )
    chart = alt.layer(*layers, description=f"{unit.title} against {axis.title}")
    chart = chart.resolve_legend(color="independent")  # without a legend, it would otherwise hide that of the markers
    specification: dict[str, Any] = chart.to_dict(validate=False, context={"top_level": False})
    return specification


def _pareto_front(known: alt.Chart, axis: Axis, unit: Unit) -> alt.Chart:
    """Keep the Pareto front of what is shown: no encoder is as good for less, or better for as much."""
    best_score, score_order = _best("score", less_is_better=not unit.is_share)
    best_value, value_order = _best(axis.key, less_is_better=axis.less_is_better)
    return (
        known.transform_window(best_score=best_score, sort=[value_order], frame=[None, 0])
        .transform_window(best_value=best_value, sort=[score_order], frame=[None, 0])
        .transform_filter(f"datum.best_score === datum.score && datum.best_value === datum.{axis.key}")
    )


def _best(field: str, less_is_better: bool) -> tuple[str, alt.SortField]:
    """Return the aggregate for the best value of a field, and the sort order that begins with it."""
    if less_is_better:
        return f"min({field})", alt.SortField(field, "ascending")
    return f"max({field})", alt.SortField(field, "descending")


def _x(axis: Axis, ranks: Sequence[int]) -> alt.X:
    kind: dict[str, Any] = {"type": "log"} if axis.is_log else {"type": "linear", "zero": False}
    ticks: dict[str, Any] = {"values": _ticks(ranks)} if axis.key == "rank" else {}
    scale = alt.Scale(**kind, nice=False, padding=16)
    return alt.X(f"{axis.key}:Q", title=axis.title, scale=scale, axis=alt.Axis(format=axis.ticks, **ticks))


def _ticks(ranks: Sequence[int]) -> list[int]:
    if len(ranks) <= _MOST_RANKS:
        return list(ranks)
    return [rank for rank in (1 << power for power in range(ranks[-1].bit_length())) if rank >= ranks[0] / 2]


def _y(unit: Unit, reach: tuple[float, float] | None) -> alt.Y:
    kind: dict[str, Any] = {"type": "linear", "zero": False} if unit.is_share else {"type": "log"}
    ends: dict[str, Any] = {} if reach is None else {"domain": list(reach), "clamp": True}
    return alt.Y("score:Q", title=unit.title, scale=alt.Scale(**kind, **ends, nice=False, padding=12))
