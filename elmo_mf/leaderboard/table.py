"""A board's table, column by column: as text for people, with the numbers behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from elmo_mf.leaderboard.aggregate import BATCHES, Board
from elmo_mf.leaderboard.machines import SIGN
from elmo_mf.leaderboard.units import Unit


@dataclass(frozen=True)
class Column:
    """One value a row of `Board.rows`: `texts`, empty where there is nothing to say, and `numbers`, nan there.

    `key` is the column of `Board.rows` that the numbers are from.
    """

    title: str
    key: str
    texts: list[str]
    numbers: list[float]


def table(board: Board, escaped: Callable[[str], str] = str, best: str = "{}") -> pd.DataFrame:
    """The whole table as text; the first column is the encoder.

    Args:
        escaped: what makes a name part of the text around the table, see `escape`.
        best: what the best encoder's name is put into.
    """
    texts = {column.title: column.texts for column in columns(board)}
    return pd.DataFrame({"encoder": [_name(row, escaped, best) for row in _dicts(board.rows)]} | texts)


def columns(board: Board) -> list[Column]:
    """All columns but the encoder's; those without any number are left out."""
    rows, unit = _dicts(board.rows), Unit.of(board.task)

    def column(title: str, key: str, text: Callable[[dict[str, Any]], str]) -> Column:
        known = [not pd.isna(row[key]) for row in rows]
        texts = [text(row) if there else "" for row, there in zip(rows, known, strict=True)]
        return Column(title, key, texts, [float(row[key]) for row in rows])

    made = [
        column(unit.title, "score", lambda row: _score(row, unit)),
        column("vs dense", "difference", lambda row: _difference(row, unit) if row["compressed"] else ""),
        column("95 %", "low", lambda row: interval(row, unit)),
        column("activation error", "activation_error", lambda row: f"{row['activation_error']:.2f}"),
        column("seeds", "seeds", lambda row: str(row["seeds"])),
        column("parameters", "parameters", lambda row: f"{int(row['parameters']):,}"),
        column("smaller", "ratio", lambda row: f"{row['ratio']:.1f}x"),
        column("encoder MB", "megabytes", lambda row: f"{row['megabytes']:.1f}"),
        column("multiply-adds", "multiply_adds", lambda row: f"{int(row['multiply_adds']):,}"),
        *(column(*about) for about in _times()),
    ]
    return [column for column in made if column.key == "difference" or not pd.isna(column.numbers).all()]


def _times() -> Iterator[tuple[str, str, Callable[[dict[str, Any]], str]]]:
    for part in ("encoder", "model"):
        for batch in BATCHES:
            name = f"{part}_{batch}"
            yield f"{part} ms, batch {batch}", f"{name}_median", _median_and_p95(name)
            yield f"speed-up, {part}, batch {batch}", f"{name}_speed_up", _times_as_fast(f"{name}_speed_up")
            yield f"over AllenNLP, batch {batch}", f"{name}_allennlp", _times_as_fast(f"{name}_allennlp")


def _median_and_p95(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: f"{row[f'{name}_median']:.1f} ({row[f'{name}_p95']:.1f})"


def _times_as_fast(key: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: f"{row[key]:.2f}x"


def _dicts(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


def _name(row: dict[str, Any], escaped: Callable[[str], str], best: str) -> str:
    name = escaped(row["encoder"])
    name = f"{best.format(name)} ★" if row["best"] else name
    name = f"{name} ◆" if row["front"] else name
    return f"{name} {SIGN}" if row["mixed"] else name


def _difference(row: dict[str, Any], unit: Unit) -> str:
    return f"{unit.signed(row['difference'])}{' ≈' if row['within_noise'] else ''}"


def interval(row: Any, unit: Unit) -> str:
    """From `low` to `high` of a row."""
    return f"[{unit.signed(row['low'])}, {unit.signed(row['high'])}]"


def _score(row: dict[str, Any], unit: Unit) -> str:
    spread = "" if pd.isna(row["std"]) else f" ± {unit.text(row['std'])}"
    return f"{unit.text(row['score'])}{spread}{' †' if row['at_chance'] else ''}"
