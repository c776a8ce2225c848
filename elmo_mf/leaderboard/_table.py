"""The table of a board by columns, as text and as numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import pandas as pd

from elmo_mf.leaderboard._machines import SIGN
from elmo_mf.leaderboard._paired import NAN
from elmo_mf.leaderboard._units import Unit
from elmo_mf.leaderboard.aggregate import Board, Row
from elmo_mf.records.record import BATCHES, PARTS, Batch, Part

_VERDICTS = {"worse": 0.0, "undecided": 1.0, "equivalent": 2.0, "better": 3.0}
NONE = "—"


@dataclass(frozen=True)
class Column:
    """One value for each row of a board.

    Attributes:
        title: Head of the column.
        texts: The values as text, empty where there is none.
        numbers: The values as numbers to sort by, nan where there is none.
        is_main: Whether the column is among the first that a reader needs.
    """

    title: str
    texts: list[str]
    numbers: list[float]
    is_main: bool = False


def table(
    board: Board, escaped: Callable[[str], str] = str, best: str = "{}", *, every_column: bool = False
) -> pd.DataFrame:
    """Return the table as text; the first column is the encoder, one of at most eight.

    Args:
        board: The board.
        escaped: Escapes a name for the format of the table, see `elmo_mf.escape`.
        best: Format of the name of the encoder that is recommended.
        every_column: Whether to return all columns.
    """
    texts = {column.title: column.texts for column in columns(board) if column.is_main or every_column}
    return pd.DataFrame({"encoder": [_name(row, escaped, best) for row in board.rows]} | texts)


def columns(board: Board) -> list[Column]:
    """Return all columns except the encoder's, the main ones first; columns without a value are left out."""
    unit = Unit.of(board.scoring)

    def column(title: str, number: Callable[[Row], float], text: Callable[[Row], str], is_main: bool = False) -> Column:
        numbers = [float(number(row)) for row in board.rows]
        texts = ["" if math.isnan(one) else text(row) for row, one in zip(board.rows, numbers, strict=True)]
        return Column(title, texts, numbers, is_main)

    per_second = _sentences_per_second(board)
    difference = column("vs dense", _difference_or_nan, lambda row: _difference(row, unit), True)
    verdict = column("verdict", lambda row: _VERDICTS.get(row.verdict, NAN), _verdict, True)
    verdict.texts[:] = [text or _no_verdict(row, board) for text, row in zip(verdict.texts, board.rows, strict=True)]
    score = column(unit.title, lambda row: row.score, lambda row: _score(row, unit), True)
    score.texts[:] = [
        text or ("collapsed" if row.collapsed else "") for text, row in zip(score.texts, board.rows, strict=True)
    ]
    candidates = [
        score,
        difference,
        verdict,
        column("MB", lambda row: row.megabytes or NAN, lambda row: megabytes(row), True),
        _faster(board, column),
        column("sentences a second", per_second, lambda row: f"{float(f'{per_second(row):.3g}'):,.0f}", True),
        column("evidence", lambda row: row.seeds, lambda row: evidence(row, board), True),
        column("nats vs dense", lambda row: row.nats, _nats),
        column("standard deviation", lambda row: row.std, lambda row: unit.text(row.std, 1)),
        column("activation error", lambda row: row.activation_error, lambda row: f"{row.activation_error:.2f}"),
        column("parameters", lambda row: row.parameters or NAN, lambda row: f"{int(row.parameters):,}"),
        column("LSTMs smaller", lambda row: row.ratio, lambda row: f"{row.ratio:.1f}x"),
        column("multiply-adds", lambda row: row.multiply_adds or NAN, lambda row: f"{int(row.multiply_adds):,}"),
        *(column(*functions) for functions in _times(board)),
    ]
    return [one for one in candidates if one in (difference, verdict) or not all(map(math.isnan, one.numbers))]


def reference(board: Board) -> str:
    """Name what the main table's speeds are relative to: the original where it was timed, or else dense."""
    if board.first.run.is_language_model:
        return "torch.nn.LSTM"
    timed = any(not math.isnan(row.speeds["encoder", batch].original) for row in board.rows for batch in BATCHES)
    return "AllenNLP" if timed else "dense"


def megabytes(row: Row) -> str:
    """Format the size of an encoder, to a hundredth where it is below 10."""
    return f"{row.megabytes:.{1 if row.megabytes >= 10 else 2}f}"


def times_smaller(row: Row, board: Board) -> float:
    """Return how many times fewer bytes an encoder takes than the dense one; NaN if the board does not have both."""
    dense = next((one.megabytes for one in board.rows if one.identity.is_dense), NAN)
    return dense / row.megabytes if row.megabytes else NAN


def over_reference(row: Row, board: Board, batch: Batch) -> float:
    """Return how many times as fast as the reference the encoder is.

    Args:
        row: The encoder.
        board: Its board, which determines the reference.
        batch: Batch size.
    """
    speed = row.speeds["encoder", batch]
    return speed.speed_up if reference(board) == "dense" else speed.original


def evidence(row: Row, board: Board) -> str:
    """Describe what a row's numbers rest on: seeds, examples, and runs that collapsed."""
    count = board.first.examples.of(board.scoring.split) or 0
    if not board.trains:
        return f"{count:,} examples"
    seeds = "1 seed" if row.seeds == 1 else f"{row.seeds} seeds"
    what = f"{seeds} x {count:,}" if row.examples else seeds
    return f"{what}; {row.collapsed} of {row.seeds + row.collapsed} runs collapsed" if row.collapsed else what


def _difference_or_nan(row: Row) -> float:
    return row.difference if row.compressed or row.is_baseline else NAN


def _verdict(row: Row) -> str:
    return f"{row.verdict}: {row.needs}" if row.needs else row.verdict


def _no_verdict(row: Row, board: Board) -> str:
    if not row.comparable:
        return ""
    return f"none: other machine {SIGN}" if row.mixed and board.trust.decides else NONE


def _faster(board: Board, column: Callable[..., Column]) -> Column:
    def text(row: Row) -> str:
        speeds = [over_reference(row, board, batch) for batch in BATCHES]
        return " / ".join(NONE if math.isnan(speed) else f"{speed:.2f}" for speed in speeds)

    first, last = BATCHES
    title = f"times as fast as {reference(board)}, batch {first} / {last}"
    return column(title, lambda row: over_reference(row, board, first), text, True)


def _sentences_per_second(board: Board) -> Callable[[Row], float]:
    """Return a function for the sentences that an encoder reads in a second, in batches of 32.

    A machine's load differs between runs, so times of different runs are not compared. The speed relative to the
    reference, with which each encoder is timed alternately, is multiplied by the reference's median speed.
    """

    def times(row: Row) -> float:
        return over_reference(row, board, "32")

    of_reference = [row.speeds["encoder", "32"].median * times(row) for row in board.rows]
    known = [time for time in of_reference if time > 0]
    return lambda row: 32_000 / median(known) * times(row) if known else NAN


def _times(board: Board) -> Iterator[tuple[str, Callable[[Row], float], Callable[[Row], str]]]:
    original = "torch.nn.LSTM" if board.first.run.is_language_model else "AllenNLP"
    for part in PARTS:
        for batch in BATCHES:
            yield f"{part} ms, batch {batch}", *_median_and_p95(part, batch)
            yield f"{part} over dense, batch {batch}", *_over("speed_up", part, batch)
            yield f"{part} over {original}, batch {batch}", *_over("original", part, batch)


def _median_and_p95(part: Part, batch: Batch) -> tuple[Callable[[Row], float], Callable[[Row], str]]:
    def text(row: Row) -> str:
        speed = row.speeds[part, batch]
        return f"{speed.median:.1f} ({speed.p95:.1f})"

    return lambda row: row.speeds[part, batch].median, text


def _over(name: str, part: Part, batch: Batch) -> tuple[Callable[[Row], float], Callable[[Row], str]]:
    def number(row: Row) -> float:
        return float(getattr(row.speeds[part, batch], name))

    return number, lambda row: f"{number(row):.2f}x"


def _name(row: Row, escaped: Callable[[str], str], best: str) -> str:
    name = f"baseline: {escaped(row.encoder)}" if row.is_baseline else escaped(row.encoder)
    name = f"{best.format(name)} ★" if row.recommended else name
    name = f"{name} ◆" if row.pareto_front else name
    return f"{name} {SIGN}" if row.mixed else name


def _difference(row: Row, unit: Unit) -> str:
    return unit.signed(row.difference) + ("" if math.isnan(row.low) else f" {interval(row, unit)}")


def _nats(row: Row) -> str:
    within = "" if math.isnan(row.nats_low) else f" [{row.nats_low:+.4f}, {row.nats_high:+.4f}]"
    return f"{row.nats:+.4f}{within}"


def interval(row: Row, unit: Unit) -> str:
    """Format the interval of a row's difference."""
    return f"[{unit.signed(row.low)}, {unit.signed(row.high)}]"


def _score(row: Row, unit: Unit) -> str:
    half_width = (row.score_high - row.score_low) / 2
    interval = "" if math.isnan(half_width) else f" ± {unit.text(half_width)}"
    return f"{unit.text(row.score)}{interval}{' †' if row.at_chance else ''}"
