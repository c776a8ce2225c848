"""Names of the lines of a plot by rank, each through encoders that differ only in rank."""

from __future__ import annotations

from typing import Any

from elmo_mf.leaderboard.aggregate import Board, Row
from elmo_mf.records.digest import digest
from elmo_mf.records.labels import distinct, leaves, targets_label


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
    return shared | ({"gradients": "of the task"} if row.identity.task_gradients else {})
