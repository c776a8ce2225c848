"""Data of the page as JSON: the columns and rows of each board, and the records behind every row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

from markdown_it import MarkdownIt
from pydantic import JsonValue

from elmo_mf.leaderboard._charts import methods_of, plots
from elmo_mf.leaderboard._headline import lead
from elmo_mf.leaderboard._machines import SIGN
from elmo_mf.leaderboard._points import AXES, points, rounded
from elmo_mf.leaderboard._table import columns
from elmo_mf.leaderboard._use import use_of
from elmo_mf.leaderboard._verdicts import VerdictName
from elmo_mf.leaderboard.aggregate import Board
from elmo_mf.leaderboard.readme import NOTES, header, remarks
from elmo_mf.records.packed import Records
from elmo_mf.records.record import Record

MOST_INSIDE = 3_200_000
"""Largest size in bytes of the records that the page itself contains."""

_MARKS = {
    "recommended": ("★", "recommended: fastest that is not inferior to dense on validation data and by its verdict"),
    "pareto_front": ("◆", "on the Pareto front: none is as good with fewer multiply-adds"),
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
    inside, methods = _inside(boards, most), methods_of(boards)
    return {
        "header": _html(header(boards)) if boards else "<p>Nothing is recorded yet.</p>",
        "notes": _html(NOTES),
        "verdicts": list(get_args(VerdictName)),
        "marks": {name: {"sign": sign, "meaning": meaning} for name, (sign, meaning) in _MARKS.items()},
        "axes": [{"key": axis.key, "title": axis.title} for axis in AXES],
        "boards": [_board(board, boards, methods) | _behind(board, inside) for board in boards],
    }


def _inside(boards: Sequence[Board], most: int) -> dict[str, list[dict[str, Any]]] | None:
    """Return the records by board, without the settings of the board; None if they are too large."""
    by_board: dict[str, list[dict[str, Any]]] = {}
    for board in boards:
        for record in board.records:
            slim = _without_setting(record, board.first.run.setting())
            most -= len(json.dumps(slim, separators=(",", ":")))
            if most < 0:
                return None
            by_board.setdefault(board.name, []).append(slim)
    return by_board


def _without_setting(record: Record, setting: dict[str, JsonValue]) -> dict[str, Any]:
    """Return the JSON of a record without its board's settings; missing settings are null."""
    values = record.to_dict()
    values["run"] = {
        key: value for key in setting | values["run"] if setting.get(key) != (value := values["run"].get(key))
    }
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


def _board(board: Board, boards: Sequence[Board], methods: Sequence[str]) -> dict[str, Any]:
    shown = columns(board)
    behind: dict[str, list[int]] = {}
    for index, key in enumerate(board.keys):
        behind.setdefault(key, []).append(index)
    return {
        "id": board.name,
        "title": board.title,
        "lead": _html(lead(board, boards)),
        "about": _html(remarks(board)),
        "plots": plots(board, methods),
        "columns": [{"title": column.title, "main": column.is_main} for column in shown],
        "rows": [
            {
                "marks": [name for name in _MARKS if getattr(row, name)],
                "verdict": row.verdict,
                "cells": [[column.texts[index], rounded(column.numbers[index])] for column in shown],
                "point": point,
                "use": use_of(row, board),
                "records": behind[row.key],
            }
            for index, (row, point) in enumerate(zip(board.rows, points(board), strict=True))
        ],
    }
