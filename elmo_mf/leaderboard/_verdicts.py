"""Verdicts on encoders: better than the dense one, equivalent within a margin, worse, or undecided.

An encoder is `equivalent` where it is not worse than dense by the margin or more (non-inferiority), `better` where it
is better than dense, and `worse` where it is worse than dense, possibly by the margin or more. All verdicts of a table
hold jointly with 95 % confidence, by the step-down procedure of Holm (1979, A simple sequentially rejective multiple
test procedure): intervals are first widened for all encoders; those whose interval contains neither zero nor the margin
are settled, and the intervals of the others are widened for these alone, until no more are settled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from elmo_mf.leaderboard._statistics import LEVEL, Estimate

VerdictName = Literal["better", "equivalent", "worse", "undecided"]
NOT_INFERIOR: tuple[VerdictName, ...] = ("better", "equivalent")
"""Verdicts on encoders that are not worse than dense by the margin or more."""
_MOST_SEEDS, _MOST_TIMES = 50, 20  # largest samples that `needs` asks for


@dataclass(frozen=True)
class Verdict:
    """Verdict on an encoder in comparison with dense.

    Attributes:
        name: The verdict.
        needs: The sample that would decide an undecided one; else empty.
    """

    name: VerdictName
    needs: str = ""

    @property
    def is_not_inferior(self) -> bool:
        """Whether the encoder is shown not to be worse than dense by the margin or more."""
        return self.name in NOT_INFERIOR


def verdicts(improvements: Sequence[Estimate], margin: float) -> list[Verdict]:
    """Give verdicts on the encoders of a table together.

    Args:
        improvements: How much better than dense each encoder is, in the unit of the margin.
        margin: The largest loss treated as negligible.
    """
    level = level_together(improvements, margin)
    return [_verdict(improvement, margin, level) for improvement in improvements]


def level_together(improvements: Sequence[Estimate], margin: float) -> float:
    """Return the level of each interval at which all verdicts of a table hold jointly at `LEVEL`.

    Args:
        improvements: How much better than dense each encoder is, in the unit of the margin.
        margin: The largest loss treated as negligible.
    """
    left = list(improvements)
    while True:
        level = 1 - (1 - LEVEL) / max(len(left), 1)
        unsettled = [one for one in left if not _is_settled(one, margin, level)]
        if len(unsettled) == len(left):
            return level
        left = unsettled


def _is_settled(improvement: Estimate, margin: float, level: float) -> bool:
    """Return whether the interval contains neither zero nor the margin, so that more data would change no verdict."""
    low, high = _ends(improvement, level)
    return low > 0 or high < -margin or -margin < low <= high < 0


def _ends(improvement: Estimate, level: float) -> tuple[float, float]:
    half_width = improvement.half_width(level)
    return improvement.mean - half_width, improvement.mean + half_width


def _verdict(improvement: Estimate, margin: float, level: float) -> Verdict:
    name = _name(improvement, margin, level)
    return Verdict(name, needs(improvement, margin, level) if name == "undecided" else "")


def _name(improvement: Estimate, margin: float, level: float) -> VerdictName:
    low, high = _ends(improvement, level)
    if low > 0:
        return "better"
    if low > -margin:
        return "equivalent"
    # an encoder whose own interval lies within the margin may well be equivalent
    return "worse" if high < 0 and _ends(improvement, LEVEL)[0] <= -margin else "undecided"


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

    def decides(seeds: int, times: float) -> bool:
        return _name(_planned(improvement, seeds, times), margin, level) != "undecided"

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
    """Return the estimate to expect with other numbers of seeds and test examples."""
    parts = improvement.parts
    of_seeds = max(improvement.of_seeds - parts.of_both, 0.0) + parts.of_both / times
    return Estimate(
        replace(parts, seeds=seeds, of_examples=parts.of_examples / times),
        of_seeds,
        improvement.seed_freedom + seeds - parts.seeds,
        (improvement.example_freedom + 1) * times - 1,
    )
