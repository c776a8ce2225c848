"""Data of the page as JSON: the columns and rows of each board, and the records behind every row."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt

from elmo_mf.leaderboard.aggregate import Board, Row
from elmo_mf.leaderboard.charts import lines_of
from elmo_mf.leaderboard.machines import SIGN
from elmo_mf.leaderboard.readme import NOTES, about, header, summary
from elmo_mf.leaderboard.table import columns
from elmo_mf.leaderboard.units import Unit
from elmo_mf.records.labels import targets_label
from elmo_mf.records.packed import Records
from elmo_mf.records.record import Record

MOST_INSIDE = 3_200_000
"""Largest size in bytes of the records that the page itself contains."""

AXES = {
    "encoder_1_speed_up": "times as fast as dense, batch 1",
    "encoder_32_speed_up": "times as fast as dense, batch 32",
    "model_1_speed_up": "whole model, times as fast, batch 1",
    "model_32_speed_up": "whole model, times as fast, batch 32",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds a token",
    "activation_error": "activation error",
    "rank": "rank",
}
"""Titles of the values that the plot can have on its x axis: columns of `Board.frame`, and the rank."""

_LESS_IS_BETTER = ("parameters", "multiply_adds", "activation_error", "rank")
_MARKS = {
    "best": ("★", "best compressed encoder"),
    "pareto_front": ("◆", "on the Pareto front"),
    "within_noise": ("≈", "within noise of dense"),
    "at_chance": ("†", "at chance"),
    "mixed": (SIGN, "scored on several kinds of machine, or another than dense"),
}
_markdown = MarkdownIt("commonmark", {"html": False}).disable(["image", "link", "autolink"])


def page_data(boards: Sequence[Board], most: int = MOST_INSIDE) -> dict[str, Any]:
    """Return the data of the whole page; numbers that were not recorded are null.

    Args:
        boards: The boards.
        most: Largest size in bytes of records in the page; if they are larger, it links to their files.
    """
    inside = _inside(boards, most)
    return {
        "header": _html(header(boards)) if boards else "<h1>Leaderboard</h1><p>Nothing is recorded yet.</p>",
        "summary": _html(summary(boards)) if boards else "",
        "notes": _html(NOTES),
        "marks": {name: {"sign": sign, "meaning": meaning} for name, (sign, meaning) in _MARKS.items()},
        "axes": [{"key": key, "title": title, "less": key in _LESS_IS_BETTER} for key, title in AXES.items()],
        "boards": [_board(board) | _behind(board, inside) for board in boards],
    }


def _inside(boards: Sequence[Board], most: int) -> dict[str, list[dict[str, Any]]] | None:
    """Return the records by board, without the settings of the board; None if they are too large."""
    by_board: dict[str, list[dict[str, Any]]] = {}
    for board in boards:
        for record in board.records:
            slim = _without_setting(record)
            most -= len(json.dumps(slim, separators=(",", ":")))
            if most < 0:
                return None
            by_board.setdefault(board.name, []).append(slim)
    return by_board


def _without_setting(record: Record) -> dict[str, Any]:
    """Return the JSON of a record without the settings that all runs of its board share."""
    values, setting = record.to_dict(), record.run.setting()
    values["run"] = {key: value for key, value in values["run"].items() if setting.get(key) != value}
    return values


def _behind(board: Board, inside: dict[str, list[dict[str, Any]]] | None) -> dict[str, Any]:
    """Return the records of a board or, if they are not in the page, the seed and file name of each."""
    if inside is not None:
        return {"run": board.first.run.setting(), "records": inside[board.name]}
    records = board.records
    names = records.names() if isinstance(records, Records) else [one.file_name for one in records]
    return {"files": [[seed, name] for seed, name in zip(board.seeds, names, strict=True)]}


def _html(markdown: str) -> str:
    return str(_markdown.render(markdown))


def _board(board: Board) -> dict[str, Any]:
    unit, shown = Unit.of(board.scoring), columns(board)
    lines = lines_of(board)
    behind: dict[str, list[int]] = {}
    for index, key in enumerate(board.keys):
        behind.setdefault(key, []).append(index)
    return {
        "id": board.name,
        "title": board.title,
        "about": _html(about(board)),
        "unit": {"title": unit.title, "factor": unit.factor, "digits": unit.digits, "log": unit.factor == 1},
        "higher": board.scoring.higher_is_better,
        "columns": [column.title for column in shown],
        "rows": [
            _row(
                row,
                [[column.texts[index], _number(column.numbers[index])] for column in shown],
                lines.get(row.key),
            )
            | {"records": behind[row.key]}
            for index, row in enumerate(board.rows)
        ],
    }


def _row(row: Row, cells: list[list[Any]], line: str | None) -> dict[str, Any]:
    compression = row.compression
    return {
        "encoder": row.encoder,
        "method": row.method,
        "targets": "none" if compression is None else targets_label(compression),
        "again": bool(row.trained_again),
        "line": line,
        "marks": [name for name in _MARKS if getattr(row, name)],
        "cells": cells,
        "score": _number(row.score),
        "std": _number(row.std),
        "across": {key: _across(row, key) for key in AXES},
    }


def _across(row: Row, key: str) -> float | None:
    """Return the value of a row on the plot's x axis."""
    if key == "rank":
        rank = None if row.compression is None else row.compression.rank
        return rank if isinstance(rank, int) else None
    for (part, batch), speed in row.speeds.items():
        if key == f"{part}_{batch}_speed_up":
            return _number(speed.speed_up)
    return _number(getattr(row, key))


def _number(value: float) -> float | None:
    """Round to as many digits as are equal on all processors; None if not finite."""
    return None if not math.isfinite(value) else float(f"{value:.12g}")
