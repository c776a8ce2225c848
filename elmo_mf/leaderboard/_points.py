"""The points of a board's plot: what is drawn of each encoder, and the axes against which it can be plotted."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from elmo_mf.leaderboard._plot_lines import lines_of
from elmo_mf.leaderboard._table import columns
from elmo_mf.leaderboard._units import Unit
from elmo_mf.leaderboard.aggregate import Board, Row
from elmo_mf.records.labels import targets_label

Point = dict[str, str | float | bool | None]
"""One encoder of a plot: a value for each axis by key, its score, and what its marker, lines and tooltip show."""


@dataclass(frozen=True)
class Axis:
    """A quantity that scores are plotted against.

    Attributes:
        key: Column of `Board.frame`, or `rank`.
        title: Title of the axis.
        less_is_better: Whether lower values are better.
        is_log: Whether the axis is logarithmic.
        ticks: Format of its numbers, as in D3; "~s" shortens thousands and millions.
    """

    key: str
    title: str
    less_is_better: bool = False
    is_log: bool = True
    ticks: str = "~g"


AXES = (
    Axis("encoder_1_speed_up", "times as fast as dense here, batch 1"),
    Axis("encoder_32_speed_up", "times as fast as dense here, batch 32"),
    Axis("encoder_1_original", "times as fast as AllenNLP or torch.nn.LSTM, batch 1"),
    Axis("encoder_32_original", "times as fast as AllenNLP or torch.nn.LSTM, batch 32"),
    Axis("model_1_speed_up", "whole model, times as fast as dense here, batch 1"),
    Axis("model_32_speed_up", "whole model, times as fast as dense here, batch 32"),
    Axis("megabytes", "MB of the encoder", less_is_better=True),
    Axis("parameters", "parameters", less_is_better=True, ticks="~s"),
    Axis("multiply_adds", "multiply-adds a token", less_is_better=True, ticks="~s"),
    Axis("activation_error", "activation error", less_is_better=True, is_log=False),
    Axis("rank", "rank", less_is_better=True),
)
"""Quantities of the page's plot."""


def points(board: Board) -> list[Point]:
    """Return a point for each row of a board; numbers that were not recorded or cannot be drawn are None."""
    unit, texts, lines = Unit.of(board.scoring), columns(board)[0].texts, lines_of(board)
    lengths = Counter(lines.values())
    drawn = {key: line for key, line in lines.items() if lengths[line] > 1}
    return [
        _point(row, unit) | {"index": index, "text": texts[index], "line": drawn.get(row.key)}
        for index, row in enumerate(board.rows)
    ]


def look_of(row: Row) -> str:
    """Name the marker of an encoder: its method, and whether it was trained again."""
    return f"{row.method}, trained again" if row.trained_again else row.method


def _point(row: Row, unit: Unit) -> Point:
    score, low, high = (rounded(unit.factor * value) for value in (row.score, *_interval(row)))
    if low is None or (low <= 0 and not unit.is_share):  # perplexities have a logarithmic axis
        low = high = None
    point: Point = {
        "encoder": row.encoder,
        "method": row.method,
        "look": look_of(row),
        "compressed": row.compressed,
        "dense": not (row.compressed or row.is_baseline),
        "recommended": row.recommended,
        "hollow": row.trained_again,
        "targets": "none" if row.compression is None else targets_label(row.compression),
        "score": score,
        "low": low,
        "high": high,
    }
    return point | {axis.key: _value(row, axis) for axis in AXES}


def _interval(row: Row) -> tuple[float, float]:
    """Return the interval of the difference to the dense encoder, at the height of the score.

    The interval of the score itself is far wider and says nothing about the difference, because both encoders were
    scored on the same examples.
    """
    return row.score - row.difference + row.low, row.score - row.difference + row.high


def _value(row: Row, axis: Axis) -> float | None:
    """Return the value of a row on an axis."""
    if axis.key == "rank":
        rank = None if row.compression is None else row.compression.rank
        return rank if isinstance(rank, int) else None
    speeds = {
        f"{part}_{batch}_{name}": getattr(speed, name)
        for (part, batch), speed in row.speeds.items()
        for name in ("speed_up", "original")
    }
    value = rounded(speeds[axis.key] if axis.key in speeds else getattr(row, axis.key))
    return None if value is None or (axis.is_log and value <= 0) else value


def rounded(value: float) -> float | None:
    """Round to as many digits as are equal on all processors; None if not finite."""
    return None if not math.isfinite(value) else float(f"{value:.12g}")
