"""Verdicts on encoders: better than the dense one, equivalent within a margin, worse, or undecided.

An encoder is `equivalent` where it is not worse than dense by the margin or more (non-inferiority), `better` where it
is better than dense, and `worse` where it is worse than dense and not equivalent. Each verdict excludes its contrary,
with 95 % confidence in all verdicts of a table together (Holm 1979, A simple sequentially rejective multiple test
procedure).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from elmo_mf.leaderboard.statistics import LEVEL, Estimate

Judgement = Literal["better", "equivalent", "worse", "undecided"]
_MOST_SEEDS, _MOST_TIMES = 50, 20  # what can be asked for to decide


@dataclass(frozen=True)
class Verdict:
    """What can be said of an encoder against dense.

    Attributes:
        judgement: The verdict.
        needs: What it would take to decide; empty where it is decided.
    """

    judgement: Judgement
    needs: str = ""


def verdicts(gains: Sequence[Estimate], margin: float) -> list[Verdict]:
    """Judge the encoders of a table together.

    Args:
        gains: How much better than dense each encoder is, in the unit of the margin.
        margin: The largest loss that is taken for none.
    """
    doubts = [doubt(gain, margin) for gain in gains]
    made = [Verdict("undecided")] * len(gains)
    error = 1 - LEVEL
    for left, place in zip(range(len(gains), 0, -1), sorted(range(len(gains)), key=doubts.__getitem__), strict=True):
        error = (1 - LEVEL) / left
        if not doubts[place] <= error:
            break
        made[place] = Verdict(_judgement(gains[place], margin, 1 - error))
    return [
        replace(one, needs=needs(gain, margin, 1 - error)) if one.judgement == "undecided" else one
        for one, gain in zip(made, gains, strict=True)
    ]


def doubt(gain: Estimate, margin: float) -> float:
    """Return the two-sided probability of such a gain if the likelier verdict were wrong; 1 where it is unknown."""
    inferior, as_good = 1 - gain.below(-margin), gain.below(0.0)
    return 1.0 if math.isnan(as_good) else min(2 * inferior, 2 * as_good, 1.0)


def is_not_inferior(gain: Estimate, margin: float) -> bool:
    """Return whether the encoder alone is not worse than dense by the margin or more, with 97.5 % confidence."""
    return gain.mean - gain.half_width() > -margin


def _judgement(gain: Estimate, margin: float, level: float) -> Judgement:
    half = gain.half_width(level)
    if gain.mean - half > 0:
        return "better"
    return "equivalent" if gain.mean - half > -margin else "worse"


def needs(gain: Estimate, margin: float, level: float) -> str:
    """Return what it would take to decide at a level, if the gain stays as it is.

    The text is the fewest seeds that decide; or else how many times the test examples; or else how many times both.
    """
    if math.isnan(gain.error):
        return "more seeds"
    half, parts = max(gain.mean + margin, -gain.mean), gain.parts  # the half width that decides

    def decides(seeds: int, times: float) -> bool:
        return _planned(gain, seeds, times).half_width(level) < half

    more = range(1, _MOST_SEEDS + 1 if parts.seeds > 1 else 0)
    if seeds := next((number for number in more if decides(parts.seeds + number, 1)), None):
        return f"{seeds} more {'seed' if seeds == 1 else 'seeds'}"
    if not parts.units:
        return "cannot be decided by more seeds"
    halves = [half / 2 for half in range(3, 2 * _MOST_TIMES + 1)]
    if times := next((times for times in halves if decides(parts.seeds, times)), None):
        return f"about {times:g} times the test examples"
    whole = range(2, _MOST_TIMES + 1) if parts.seeds > 1 else range(0)
    if times := next((times for times in whole if decides(parts.seeds * times, times)), None):
        return f"about {times} times the seeds and the test examples"
    return "cannot be decided: it is at the margin"


def _planned(gain: Estimate, seeds: int, times: float) -> Estimate:
    """Return the estimate that is expected with other numbers of seeds and test examples."""
    parts = gain.parts
    of_seeds = max(gain.of_seeds - parts.of_both, 0.0) + parts.of_both / times
    return Estimate(
        replace(parts, seeds=seeds, of_examples=parts.of_examples / times),
        of_seeds,
        gain.seed_freedom + seeds - parts.seeds,
        (gain.example_freedom + 1) * times - 1,
    )
