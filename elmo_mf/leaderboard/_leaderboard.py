"""The boards of an output folder, for Python and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import pandas as pd

from elmo_mf.errors import InputError
from elmo_mf.escape import plain
from elmo_mf.leaderboard._headline import in_short, lead
from elmo_mf.leaderboard._margin import MARGIN
from elmo_mf.leaderboard._recommend import recommended
from elmo_mf.leaderboard._recommended import Recommendations
from elmo_mf.leaderboard._table import table
from elmo_mf.leaderboard.aggregate import Board, boards
from elmo_mf.leaderboard.exports import tidy
from elmo_mf.leaderboard.read_records import outputs_of, records_of
from elmo_mf.tabular import Tabular


@dataclass(frozen=True, repr=False)
class BoardTable(Tabular):
    """A board as a table, with the sentences that the leaderboard has about it.

    Attributes:
        board: The board.
    """

    board: Board

    @property
    def title(self) -> str:
        """Title of the board."""
        return self.board.title

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each encoder, best score first; the columns are those of `elmo-mf leaderboard --export`."""
        return tidy([self.board])

    def shown(self) -> pd.DataFrame:
        """Return the main columns of the leaderboard, as texts."""
        return table(self.board)

    def notes(self) -> list[str]:
        """Return the sentences on which encoder to choose, and why."""
        return [plain(lead(self.board))]


@dataclass(frozen=True, repr=False)
class Leaderboard(Mapping[str, BoardTable], Tabular):
    """The boards of an output folder by name, such as `sst`; a task with several settings has several boards.

    Attributes:
        boards: The boards, those with a recommended encoder first.
        margin: Largest loss treated as negligible, in points or in units of perplexity.
    """

    boards: tuple[Board, ...]
    margin: float

    def __getitem__(self, name: str) -> BoardTable:
        for board in self.boards:
            if board.name == name:
                return BoardTable(board)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (board.name for board in self.boards)

    def __len__(self) -> int:
        return len(self.boards)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each encoder of each board; the columns are those of `elmo-mf leaderboard --export`."""
        return tidy(self.boards)

    def recommended(self) -> Recommendations:
        """Return a safe, a small and a fast encoder for each board, or why there are none."""
        return recommended(self.boards, self.margin)

    def shown(self) -> pd.DataFrame:
        """Return a row for each board: its task, the metric, and the number of encoders."""
        rows = [
            {
                "board": board.name,
                "title": board.title,
                "metric": board.scoring.primary,
                "encoders": len(board.rows),
            }
            for board in self.boards
        ]
        return pd.DataFrame(rows)

    def notes(self) -> list[str]:
        """Return the sentences on which encoder to choose on each board, and why."""
        return [f"{board.name}: {plain(in_short(board, self.boards))}" for board in self.boards]


def read_leaderboard(folder: str | Path, margin: float = MARGIN) -> Leaderboard:
    """Build the boards of an output folder from its records; nothing is written.

    `elmo-mf leaderboard` writes the same boards as pages, and `elmo-mf recommend` prints what they recommend.

    Args:
        folder: Output folder of sweeps, whose records are in `records`.
        margin: Largest loss treated as negligible: in points, or for perplexity in its own unit. Defaults to 1.

    Raises:
        InputError: There are no records, or the margin is no finite number of at least 0.

    Examples:
        >>> from elmo_mf import read_leaderboard
        >>> leaderboard = read_leaderboard("leaderboard")
        >>> leaderboard["sst"].title
        'Sentiment: Stanford Sentiment Treebank, five classes (bcn)'
        >>> frame = leaderboard["sst"].to_pandas()
        >>> frame.loc[frame["encoder"] == "svd all rank 32", ["task", "metric"]].values.tolist()
        [['sst', 'accuracy']]
        >>> [one.aim for one in leaderboard.recommended().boards["wikitext2-bilm"].encoders]
        ['safe', 'small', 'fast']
    """
    if not (isfinite(margin) and margin >= 0):
        raise InputError("margin", f"found {margin}, expected a number of at least 0")
    where = Path(folder)
    return Leaderboard(tuple(boards(records_of(where), outputs_of(where), margin)), margin)
