"""Recommended encoders by aim: safe, small or fast."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from elmo_mf.escape import plain
from elmo_mf.leaderboard._elsewhere import elsewhere
from elmo_mf.leaderboard._headline import in_short
from elmo_mf.leaderboard._recommended import (
    AIMS,
    Aim,
    BoardRecommendations,
    Recommendations,
    RecommendedEncoder,
)
from elmo_mf.leaderboard._table import interval, megabytes, over_reference
from elmo_mf.leaderboard._units import Unit
from elmo_mf.leaderboard._use import use_of
from elmo_mf.leaderboard.aggregate import Board, Row
from elmo_mf.records.record import BATCHES


@dataclass(frozen=True)
class Recommendation:
    """Encoder recommended for an aim.

    Attributes:
        aim: Criterion by which it is best.
        row: The encoder. It was chosen on validation data; its numbers are those of the scored split.
        use: Command, config or Python code that creates it.
    """

    aim: Aim
    row: Row
    use: str


def recommendations(board: Board) -> list[Recommendation]:
    """Return an encoder for each aim, of those that are shown not to be inferior to dense.

    Both validation data and the verdict have to show it. A board without verdicts recommends none.
    """
    if not (board.trust.decides and board.trust.recommends):
        return []
    good = [row for row in board.rows if row.can_be_taken]
    best: dict[Aim, Callable[[Row], float]] = {
        "safe": lambda row: row.validation_change,
        "small": lambda row: row.megabytes,
        "fast": lambda row: not row.recommended,
    }
    chosen = {aim: min(good, key=best[aim]) for aim in AIMS if good}
    return [Recommendation(aim, row, use_of(row, board)) for aim, row in chosen.items()]


def recommended(boards: Sequence[Board], margin: float) -> Recommendations:
    """Return the recommended encoders of some boards in words, for a terminal or a file.

    Args:
        boards: The boards.
        margin: The margin that they were built with.
    """
    return Recommendations(margin=margin, boards={board.name: _in_words(board, boards) for board in boards})


def _in_words(board: Board, boards: Sequence[Board]) -> BoardRecommendations:
    encoders = [
        RecommendedEncoder(
            aim=one.aim,
            encoder=one.row.encoder,
            result=described(one.row, board),
            elsewhere=[str(other) for other in elsewhere(one.row, board, boards)],
            use=one.use,
        )
        for one in recommendations(board)
    ]
    return BoardRecommendations(
        title=board.title, encoders=encoders, reason=None if encoders else plain(in_short(board))
    )


def described(row: Row, board: Board) -> str:
    """Describe what an encoder loses and saves."""
    unit, speeds = Unit.of(board.scoring), [over_reference(row, board, batch) for batch in BATCHES]
    times = "" if any(map(math.isnan, speeds)) else f", {speeds[0]:.1f} and {speeds[1]:.1f} times as fast"
    within = "" if math.isnan(row.low) else f" {interval(row, unit)}"
    return f"{unit.signed(row.difference)}{within} {unit.name}, {megabytes(row)} MB{times}"
