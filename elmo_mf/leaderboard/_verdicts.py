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

from elmo_mf.leaderboard._statistics import LEVEL, Estimate

VerdictName = Literal["better", "equivalent", "worse", "undecided"]
_MOST_SEEDS, _MOST_TIMES = 50, 20  # what can be asked for to decide


@dataclass(frozen=True)
class Verdict:
    """What can be said of an encoder against dense.

    Attributes:
        name: The verdict.
        needs: What it would take to decide; empty where it is decided.
    """

    name: VerdictName
    needs: str = ""


def verdicts(improvements: Sequence[Estimate], margin: float) -> list[Verdict]:
    """Give verdicts on the encoders of a table together.

    Args:
        improvements: How much better than dense each encoder is, in the unit of the margin.
        margin: The largest loss treated as negligible.
    """
    doubts = [doubt(improvement, margin) for improvement in improvements]
    decided = [Verdict("undecided")] * len(improvements)
    error = 1 - LEVEL
    ordered = sorted(range(len(improvements)), key=doubts.__getitem__)
    for left, place in zip(range(len(improvements), 0, -1), ordered, strict=True):
        error = (1 - LEVEL) / left
        if not doubts[place] <= error:
            break
        decided[place] = Verdict(_verdict_name(improvements[place], margin, 1 - error))
    return [
        replace(one, needs=needs(improvement, margin, 1 - error)) if one.name == "undecided" else one
        for one, improvement in zip(decided, improvements, strict=True)
    ]


def doubt(improvement: Estimate, margin: float) -> float:
    """Return the two-sided p-value of the likelier verdict; 1 if unknown."""
    inferior, as_good = 1 - improvement.below(-margin), improvement.below(0.0)
    return 1.0 if math.isnan(as_good) else min(2 * inferior, 2 * as_good, 1.0)


def is_not_inferior(improvement: Estimate, margin: float) -> bool:
    """Return whether the encoder alone is not worse than dense by the margin or more, with 97.5 % confidence."""
    return improvement.mean - improvement.half_width() > -margin


def _verdict_name(improvement: Estimate, margin: float, level: float) -> VerdictName:
    half_width = improvement.half_width(level)
    if improvement.mean - half_width > 0:
        return "better"
    return "equivalent" if improvement.mean - half_width > -margin else "worse"


def needs(improvement: Estimate, margin: float, level: float) -> str:
    """Estimate the sample with which the verdict would be decided, if the improvement stays the same.

    The text is the smallest sufficient number of seeds; if none suffices, the factor by which the test examples would
    have to increase; otherwise, the factor for both.

    Args:
        improvement: How much better than dense the encoder is, with its variance components.
        margin: The largest loss treated as negligible.
        level: Level of the test.
    """
    if math.isnan(improvement.error):
        return "more seeds"
    parts = improvement.parts
    deciding_half_width = max(improvement.mean + margin, -improvement.mean)

    def decides(seeds: int, times: float) -> bool:
        return _planned(improvement, seeds, times).half_width(level) < deciding_half_width

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


def _planned(improvement: Estimate, seeds: int, times: float) -> Estimate:
    """Return the estimate that is expected with other numbers of seeds and test examples."""
    parts = improvement.parts
    of_seeds = max(improvement.of_seeds - parts.of_both, 0.0) + parts.of_both / times
    return Estimate(
        replace(parts, seeds=seeds, of_examples=parts.of_examples / times),
        of_seeds,
        improvement.seed_freedom + seeds - parts.seeds,
        (improvement.example_freedom + 1) * times - 1,
    )
