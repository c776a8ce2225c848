"""The table of a board by columns, as text and as numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from elmo_mf.leaderboard.aggregate import Board, Row
from elmo_mf.leaderboard.machines import SIGN
from elmo_mf.leaderboard.units import Unit
from elmo_mf.records.record import BATCHES, PARTS, Batch, Part


@dataclass(frozen=True)
class Column:
    """One value for each row of a board.

    Attributes:
        title: Head of the column.
        texts: The values as text, empty where there is none.
        numbers: The values as numbers, nan where there is none.
    """

    title: str
    texts: list[str]
    numbers: list[float]


def table(board: Board, escaped: Callable[[str], str] = str, best: str = "{}") -> pd.DataFrame:
    """Return the whole table as text; the first column is the encoder.

    Args:
        board: The board.
        escaped: Escapes a name for the format of the table, see `elmo_mf.escape`.
        best: Format of the best encoder's name.
    """
    texts = {column.title: column.texts for column in columns(board)}
    return pd.DataFrame({"encoder": [_name(row, escaped, best) for row in board.rows]} | texts)


def columns(board: Board) -> list[Column]:
    """Return all columns except the encoder's; columns without numbers are left out, except the difference."""
    unit = Unit.of(board.scoring)

    def column(title: str, number: Callable[[Row], float], text: Callable[[Row], str]) -> Column:
        numbers = [float(number(row)) for row in board.rows]
        texts = ["" if math.isnan(one) else text(row) for row, one in zip(board.rows, numbers, strict=True)]
        return Column(title, texts, numbers)

    difference = column(
        "vs dense", lambda row: row.difference, lambda row: _difference(row, unit) if row.compressed else ""
    )
    candidates = [
        column(unit.title, lambda row: row.score, lambda row: _score(row, unit)),
        difference,
        column("95 %", lambda row: row.low, lambda row: interval(row, unit)),
        column("activation error", lambda row: row.activation_error, lambda row: f"{row.activation_error:.2f}"),
        column("seeds", lambda row: row.seeds, lambda row: str(row.seeds)),
        column("parameters", lambda row: row.parameters, lambda row: f"{int(row.parameters):,}"),
        column("smaller", lambda row: row.ratio, lambda row: f"{row.ratio:.1f}x"),
        column("encoder MB", lambda row: row.megabytes, lambda row: f"{row.megabytes:.1f}"),
        column("multiply-adds", lambda row: row.multiply_adds, lambda row: f"{int(row.multiply_adds):,}"),
        *(column(*functions) for functions in _times()),
    ]
    return [one for one in candidates if one is difference or not all(map(math.isnan, one.numbers))]


def _times() -> Iterator[tuple[str, Callable[[Row], float], Callable[[Row], str]]]:
    for part in PARTS:
        for batch in BATCHES:
            yield f"{part} ms, batch {batch}", *_median_and_p95(part, batch)
            yield f"speed-up, {part}, batch {batch}", *_speed_up(part, batch)
            yield f"over AllenNLP, batch {batch}", *_over_allennlp(part, batch)


def _median_and_p95(part: Part, batch: Batch) -> tuple[Callable[[Row], float], Callable[[Row], str]]:
    def text(row: Row) -> str:
        speed = row.speeds[part, batch]
        return f"{speed.median:.1f} ({speed.p95:.1f})"

    return lambda row: row.speeds[part, batch].median, text


def _speed_up(part: Part, batch: Batch) -> tuple[Callable[[Row], float], Callable[[Row], str]]:
    return lambda row: row.speeds[part, batch].speed_up, lambda row: f"{row.speeds[part, batch].speed_up:.2f}x"


def _over_allennlp(part: Part, batch: Batch) -> tuple[Callable[[Row], float], Callable[[Row], str]]:
    return lambda row: row.speeds[part, batch].allennlp, lambda row: f"{row.speeds[part, batch].allennlp:.2f}x"


def _name(row: Row, escaped: Callable[[str], str], best: str) -> str:
    name = escaped(row.encoder)
    name = f"{best.format(name)} ★" if row.best else name
    name = f"{name} ◆" if row.pareto_front else name
    return f"{name} {SIGN}" if row.mixed else name


def _difference(row: Row, unit: Unit) -> str:
    return f"{unit.signed(row.difference)}{' ≈' if row.within_noise else ''}"


def interval(row: Row, unit: Unit) -> str:
    """Format the interval of a row's difference."""
    return f"[{unit.signed(row.low)}, {unit.signed(row.high)}]"


def _score(row: Row, unit: Unit) -> str:
    spread = "" if math.isnan(row.std) else f" ± {unit.text(row.std)}"
    return f"{unit.text(row.score)}{spread}{' †' if row.at_chance else ''}"
