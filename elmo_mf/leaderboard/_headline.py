"""One-sentence recommendation for a board."""

from __future__ import annotations

import math
from collections import Counter
from typing import get_args

from elmo_mf.escape import code, markdown
from elmo_mf.leaderboard._machines import SIGN
from elmo_mf.leaderboard._table import interval, over_reference, reference
from elmo_mf.leaderboard._units import Unit
from elmo_mf.leaderboard._verdicts import VerdictName
from elmo_mf.leaderboard.aggregate import Board, Row
from elmo_mf.records.record import BATCHES

_LEAST_RATIO = 1.05  # 1.0 times smaller is as large


def in_short(board: Board) -> str:
    """Return the sentence, in Markdown; the encoder is chosen on validation data, and its number is of the test."""
    compared = [row for row in board.rows if row.comparable and not math.isnan(row.difference)]
    if not board.trust.decides:
        return f"nothing to recommend. {markdown(board.trust.remark)}"
    if not compared:
        return "nothing to compare yet."
    if not board.trust.recommends:
        return f"nothing to recommend. {markdown(board.trust.remark)}"
    where = (
        "the validation data, which is also the scored split"
        if board.scoring.split == "validation"
        else "validation data"
    )
    taken = [row for row in compared if row.recommended]
    if taken:
        return f"choose {_described(taken[0], board)}: the fastest encoder that is non-inferior to dense on {where}."
    known = [row for row in compared if not math.isnan(row.validation_gain)]
    if not known:
        return "nothing was compared on validation data."
    best = max(known, key=lambda row: row.validation_gain)
    return f"no encoder is shown to be non-inferior to dense on {where}; the best there is {_described(best, board)}."


def lead(board: Board) -> str:
    """Return three sentences on a board, in Markdown: what to take and why, the verdicts, and what baselines say."""
    count = Counter(row.verdict for row in board.rows if row.verdict)
    counts = ", ".join(f"{count[name]} {name}" for name in get_args(VerdictName) if count[name])
    unit = Unit.of(board.scoring)
    total = sum(count.values())
    verdicts = f"Of {total} encoders, at a margin of {markdown(unit.amount(board.margin))}: {counts}." if total else ""
    sentence = in_short(board)
    remark = board.trust.remark if board.trust.decides and board.trust.recommends else ""  # else in the sentence
    return " ".join(part for part in (sentence[:1].upper() + sentence[1:], verdicts, markdown(remark)) if part)


def _described(row: Row, board: Board) -> str:
    unit = Unit.of(board.scoring)
    within = "" if math.isnan(row.low) else f" {interval(row, unit)}"
    verdict = f", {_verdict_alone(row, board)}" if row.verdict else ""
    facts = f"{unit.signed(row.difference)}{within} {markdown(unit.name)} from {markdown(row.baseline)}{verdict}"
    smaller = f"; {row.ratio:.1f} times smaller" if row.ratio >= _LEAST_RATIO else ""
    mixed = f"; scored on another kind of machine than dense {SIGN}" if row.mixed else ""
    return f"{code(row.encoder)} ({facts}{smaller}{_faster(row, board)}{mixed})"


def _verdict_alone(row: Row, board: Board) -> VerdictName:
    """Judge an encoder by its interval alone: it was chosen on other data, so there is nothing to correct for."""
    ends = (row.low, row.high) if board.scoring.higher_is_better else (-row.high, -row.low)
    if math.isnan(row.low):
        return "undecided"
    if ends[0] > 0:
        return "better"
    if ends[0] > -board.margin / Unit.of(board.scoring).factor:
        return "equivalent"
    return "worse" if ends[1] < 0 else "undecided"


def _faster(row: Row, board: Board) -> str:
    speeds = [over_reference(row, board, batch) for batch in BATCHES]
    if any(map(math.isnan, speeds)):
        return ""
    one, many = speeds
    owned = {"dense": "dense"}.get(reference(board), f"{reference(board)}'s")
    return f"; {one:.2f} times as fast as {owned} at batch 1 and {many:.2f} at 32"
