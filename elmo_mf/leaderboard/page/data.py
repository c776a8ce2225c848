"""What the page shows, as JSON: each board's columns and rows, and the records behind every row."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt

from elmo_mf.leaderboard.aggregate import Board
from elmo_mf.leaderboard.charts import lines_of
from elmo_mf.leaderboard.machines import SIGN
from elmo_mf.leaderboard.readme import NOTES, about, header, summary
from elmo_mf.leaderboard.settings import own, shared
from elmo_mf.leaderboard.table import columns
from elmo_mf.leaderboard.units import Unit
from elmo_mf.records.compressions import compression_of
from elmo_mf.records.labels import targets_label
from elmo_mf.records.packed import Records
from elmo_mf.tasks.grid import run_name

MOST_INSIDE = 3_200_000
"""Bytes of records that the page itself may hold."""

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
"""What the plot may have across: columns of `Board.rows`, and the rank."""

_LESS_IS_BETTER = ("parameters", "multiply_adds", "activation_error", "rank")
_MARKS = {
    "best": ("★", "best compressed encoder"),
    "front": ("◆", "on the Pareto front"),
    "within_noise": ("≈", "within noise of dense"),
    "at_chance": ("†", "at chance"),
    "mixed": (SIGN, "scored on several kinds of machine, or another than dense"),
}
_markdown = MarkdownIt("commonmark", {"html": False}).disable(["image", "link", "autolink"])


def page_data(boards: Sequence[Board], most: int = MOST_INSIDE) -> dict[str, Any]:
    """The whole page's; numbers that were not recorded are null.

    Records that together take more than `most` bytes are left out: the page names their files then.
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
    """By board its records, without what its runs share; None where that is too much."""
    found: dict[str, list[dict[str, Any]]] = {}
    for board in boards:
        for record in board.records:
            slim = record | {"run": own(record)}
            most -= len(json.dumps(slim, separators=(",", ":")))
            if most < 0:
                return None
            found.setdefault(board.name, []).append(slim)
    return found


def _behind(board: Board, inside: dict[str, list[dict[str, Any]]] | None) -> dict[str, Any]:
    """A board's records, or else the seeds of each with the name of its file."""
    if inside is not None:
        return {"run": shared(board.first), "records": inside[board.name]}
    records = board.records
    names = records.names() if isinstance(records, Records) else [f"{run_name(one['run'])}.json" for one in records]
    return {"files": [[seed, name] for seed, name in zip(board.seeds, names, strict=True)]}


def _html(markdown: str) -> str:
    return str(_markdown.render(markdown))


def _board(board: Board) -> dict[str, Any]:
    unit, made = Unit.of(board.task), columns(board)
    rows, lines = board.rows.to_dict("records"), lines_of(board)
    behind: dict[str, list[int]] = {}
    for index, key in enumerate(board.keys):
        behind.setdefault(key, []).append(index)
    return {
        "id": board.name,
        "title": board.title,
        "about": _html(about(board)),
        "unit": {"title": unit.title, "factor": unit.factor, "digits": unit.digits, "log": unit.factor == 1},
        "higher": board.task.metrics[board.task.primary] == "higher",
        "columns": [column.title for column in made],
        "rows": [
            _row(
                row,
                [[column.texts[index], _number(column.numbers[index])] for column in made],
                lines.get(row["key"]),
            )
            | {"records": behind[row["key"]]}
            for index, row in enumerate(rows)
        ],
    }


def _row(row: dict[Any, Any], cells: list[list[Any]], line: str | None) -> dict[str, Any]:
    compression = compression_of(row["compression"]) if row["compressed"] else None
    rank = compression.rank if compression is not None and isinstance(compression.rank, int) else None
    return {
        "encoder": row["encoder"],
        "method": compression.method if compression else "dense",
        "targets": targets_label(compression) if compression else "none",
        "again": bool(row["trained_again"]),
        "line": line,
        "marks": [name for name in _MARKS if row[name]],
        "cells": cells,
        "score": _number(row["score"]),
        "std": _number(row["std"]),
        "across": {key: rank if key == "rank" else _number(row[key]) for key in AXES},
    }


def _number(value: Any) -> float | None:
    """With as many digits as are the same on any processor."""
    return None if pd.isna(value) or math.isinf(value) else float(f"{value:.12g}")
