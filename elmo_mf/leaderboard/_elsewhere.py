"""Costs of an encoder of one table in the other tables of the same ELMo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from elmo_mf.leaderboard._units import Unit
from elmo_mf.leaderboard.aggregate import Board, Row

_SMALL = 10  # percent, from which on there are no decimals


@dataclass(frozen=True)
class Elsewhere:
    """An encoder in another table.

    Attributes:
        board: The other table, which gives verdicts and whose baselines were run.
        row: The encoder there; None where it was not run.
    """

    board: Board
    row: Row | None

    def __str__(self) -> str:
        """Describe the cost there, in points or, for perplexity, in percent of the dense encoder's; and the verdict."""
        title = self.board.first.task.title.partition(":")[0]
        if self.row is None:
            return f"{title}: not run"
        return f"{title}: {_cost(self.row, self.board)}, {self.row.verdict or 'no verdict'}"


def elsewhere(row: Row, board: Board, boards: Sequence[Board]) -> list[Elsewhere]:
    """Look an encoder up in the other tables of the same ELMo that can recommend one, language models first.

    Args:
        row: The encoder.
        board: Its table.
        boards: All tables.
    """
    others = [
        other
        for other in boards
        if board.elmo
        and other.elmo == board.elmo
        and other is not board
        and other.trust.decides
        and other.trust.recommends
    ]
    others.sort(key=lambda other: not other.first.run.is_language_model)
    return [
        Elsewhere(other, next((one for one in other.rows if one.key == row.key and one.comparable), None))
        for other in others
    ]


def harmless(board: Board, boards: Sequence[Board]) -> Row | None:
    """Return the smallest encoder that can be taken in all tables of the same ELMo; None if there is none."""
    rows = [row for row in board.rows if row.can_be_taken]
    good = [
        row
        for row in rows
        if all(one.row is not None and one.row.can_be_taken for one in elsewhere(row, board, boards))
    ]
    return min(good, key=lambda row: row.megabytes, default=None)


def _cost(row: Row, board: Board) -> str:
    unit = Unit.of(board.scoring)
    dense = next((one.score for one in board.rows if one.encoder == row.baseline), math.nan)
    if unit.is_share or not dense > 0:
        return f"{unit.signed(row.difference)} {unit.name}"
    percent = 100 * row.difference / dense
    digits = 1 if abs(percent) < _SMALL else 0
    return f"{round(percent, digits) + 0.0:+,.{digits}f} % {unit.name}"
