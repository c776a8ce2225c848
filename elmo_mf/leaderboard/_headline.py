"""Headlines: one sentence on a board, or three and a table on several boards."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import get_args

import pandas as pd

from elmo_mf.escape import code, markdown
from elmo_mf.leaderboard._elsewhere import elsewhere, harmless
from elmo_mf.leaderboard._machines import SIGN
from elmo_mf.leaderboard._table import NONE, interval, over_reference, reference, times_smaller
from elmo_mf.leaderboard._units import Unit
from elmo_mf.leaderboard._verdicts import VerdictName
from elmo_mf.leaderboard.aggregate import Board, Row
from elmo_mf.records.record import BATCHES

_LEAST_RATIO = 1.05  # 1.0 times smaller is as large


def in_short(board: Board, boards: Sequence[Board] = ()) -> str:
    """Return what a board recommends, in Markdown.

    The encoder is chosen on validation data; its numbers are those of the scored split.

    Args:
        board: The board.
        boards: All boards, for what the encoder costs in those of the same ELMo. Defaults to none.
    """
    compared = [row for row in board.rows if row.comparable and not math.isnan(row.difference)]
    if not board.trust.decides:
        return f"nothing to recommend. {markdown(board.trust.remark)}"
    if not compared:
        return "nothing to compare yet."
    if not board.trust.recommends:
        return f"nothing to recommend. {markdown(board.trust.remark)}"
    where, taken = _shown_on(board), recommended(board)
    if taken is not None:
        return f"choose {_described(taken, board)}: {_why(board)}.{_costs(taken, board, boards)}"
    known = [row for row in compared if not math.isnan(row.validation_gain)]
    if not known:
        return "nothing was compared on validation data."
    best = max(known, key=lambda row: row.validation_gain)
    return f"no encoder is shown to be non-inferior to dense on {where}; the best there is {_described(best, board)}."


def _costs(row: Row, board: Board, boards: Sequence[Board]) -> str:
    others = elsewhere(row, board, boards)
    return f" In other tables of this ELMo: {'; '.join(markdown(str(one)) for one in others)}." if others else ""


def lead(board: Board, boards: Sequence[Board] = ()) -> str:
    """Return a few sentences on a board, in Markdown: what to take, why and at what cost, verdicts, and baselines.

    Args:
        board: The board.
        boards: See `in_short`.
    """
    count = Counter(row.verdict for row in board.rows if row.verdict)
    counts = ", ".join(f"{count[name]} {name}" for name in get_args(VerdictName) if count[name])
    unit = Unit.of(board.scoring)
    total = sum(count.values())
    verdicts = f"Of {total} encoders, at a margin of {markdown(unit.amount(board.margin))}: {counts}." if total else ""
    sentence = in_short(board, boards)
    remark = board.trust.remark if board.trust.decides and board.trust.recommends else ""  # else in the sentence
    return " ".join(part for part in (sentence[:1].upper() + sentence[1:], verdicts, markdown(remark)) if part)


def leading(boards: Sequence[Board]) -> Board | None:
    """Return the first board that recommends a smaller encoder, or else any; None if none does."""
    taken = [(board, row) for board in boards if (row := recommended(board)) is not None]
    smaller = [board for board, row in taken if times_smaller(row, board) >= _LEAST_RATIO]
    return next(iter([*smaller, *(board for board, _ in taken)]), None)


def recommended(board: Board) -> Row | None:
    """Return the row that a board recommends, if any."""
    if not (board.trust.decides and board.trust.recommends):
        return None
    return next((row for row in board.rows if row.comparable and row.recommended), None)


def overview(boards: Sequence[Board]) -> str:
    """Return three sentences on several boards, in Markdown: what to take and why, where else, and where not."""
    first = leading(boards)
    if first is None:
        sentences = ["No table recommends an encoder."]
    else:
        count = sum(recommended(board) is not None for board in boards)
        recommend = f"{count} of {len(boards)} tables recommend an encoder; each section has its command."
        sentences = [_advice(first, boards), recommend]
    silent = sum(not board.trust.decides for board in boards)
    if silent:
        say = "1 table gives" if silent == 1 else f"{silent} tables give"
        sentences.append(f"{say} no verdicts, because dense is not shown to be better than the baselines.")
    return " ".join(sentences)


def _advice(first: Board, boards: Sequence[Board]) -> str:
    """Advise on an encoder that is non-inferior in all tables of an ELMo, and on a faster one with its costs."""
    fast, safe = recommended(first), harmless(first, boards)
    assert fast is not None
    where = f"{_why(first)}, in *{markdown(first.title)}*"
    costs = _costs(fast, first, boards)
    if safe is None or not costs:
        return f"**Take** {_described(fast, first)}: {where}.{costs}"
    if safe.key == fast.key:
        return f"**Take** {_described(fast, first)}: {where}, and non-inferior in all tables of this ELMo.{costs}"
    smallest = "the smallest encoder that is non-inferior in every table of its ELMo that can recommend one"
    take = f"**Take** {_described(safe, first)}: {smallest}; the numbers are of *{markdown(first.title)}*."
    return f"{take} **Or, for speed at a price,** {_described(fast, first)}: {_why(first)} there.{costs}"


def recommendations(boards: Sequence[Board]) -> pd.DataFrame:
    """Return what each board recommends, or why it recommends nothing, in Markdown."""
    return pd.DataFrame([_recommendation(board, boards) for board in boards], columns=_COLUMNS)


_COLUMNS = ["table", "fastest", "vs dense", "smaller", "times as fast, batch 1 / 32", "in other tables of this ELMo"]


def _recommendation(board: Board, boards: Sequence[Board]) -> list[str]:
    row, title = recommended(board), markdown(board.title)
    if row is None:
        reason = board.trust.remark if not (board.trust.decides and board.trust.recommends) else ""
        return [title, markdown(reason) or NONE, *[""] * (len(_COLUMNS) - 2)]
    unit = Unit.of(board.scoring)
    loss = f"{unit.signed(row.difference)}{'' if math.isnan(row.low) else f' {interval(row, unit)}'}"
    times = times_smaller(row, board)
    smaller = "" if math.isnan(times) else f"{times:.1f}x"
    speeds = [over_reference(row, board, batch) for batch in BATCHES]
    faster = "" if any(map(math.isnan, speeds)) else f"{speeds[0]:.2f} / {speeds[1]:.2f} ({reference(board)})"
    others = "; ".join(markdown(str(one)) for one in elsewhere(row, board, boards))
    return [title, code(row.encoder), f"{loss} {markdown(unit.name)}", smaller, faster, others]


def _why(board: Board) -> str:
    return f"the fastest encoder that is shown to be non-inferior to dense on {_shown_on(board)}"


def _shown_on(board: Board) -> str:
    """Name the data on which a recommended encoder is compared with dense."""
    if board.scoring.split == "validation":
        return "the validation data, which is also the scored split"
    return f"validation and {board.scoring.split} data"


def _described(row: Row, board: Board) -> str:
    unit = Unit.of(board.scoring)
    within = "" if math.isnan(row.low) else f" {interval(row, unit)}"
    verdict = f", {row.verdict}" if row.verdict else ""
    facts = f"{unit.signed(row.difference)}{within} {markdown(unit.name)} from {markdown(row.baseline)}{verdict}"
    times = times_smaller(row, board)
    smaller = f"; {times:.1f} times smaller" if times >= _LEAST_RATIO else ""
    mixed = f"; scored on another kind of machine than dense {SIGN}" if row.mixed else ""
    return f"{code(row.encoder)} ({facts}{smaller}{_faster(row, board)}{mixed})"


def _faster(row: Row, board: Board) -> str:
    speeds = [over_reference(row, board, batch) for batch in BATCHES]
    if any(map(math.isnan, speeds)):
        return ""
    one, many = speeds
    owned = {"dense": "dense"}.get(reference(board), f"{reference(board)}'s")
    return f"; {one:.2f} times as fast as {owned} at batch 1 and {many:.2f} at 32"
