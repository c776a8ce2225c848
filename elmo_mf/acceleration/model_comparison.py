"""Comparison of a model's loss against another with a tolerance, by a paired bootstrap over examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from elmo_mf.acceleration._example_scores import LOSS, Counters, Evaluation, Goal
from elmo_mf.bilm.weights import Array

DRAWS = 2000
"""Number of samples of the bootstrap."""
_TAILS = (2.5, 97.5)  # percent


@dataclass(frozen=True)
class Loss:
    """Loss of a model in points, hundredths of the metric, against another on the same examples.

    Attributes:
        estimate: The loss on all examples; negative for a gain.
        low: Lower end of the 95 % interval.
        high: Upper end, at least `resolution`.
        resolution: The loss that this number of examples cannot exclude, because a model that errs on so small a share
            of all examples may be right on each of these; 0 for the mean loss, which has no largest value.
    """

    estimate: float
    low: float
    high: float
    resolution: float

    def verdict(self, tolerance: float) -> Literal["within", "worse", "undecided"]:
        """Compare the interval with the largest loss that is tolerated.

        Args:
            tolerance: That loss, in points.

        Returns:
            `within` if the whole interval is at most the tolerance, `worse` if all of it is above, else `undecided`.
        """
        if self.high <= tolerance:
            return "within"
        return "worse" if self.low > tolerance else "undecided"


class Comparison:
    """Comparison of models with one whose evaluation is given.

    Every model is compared on the same samples of examples. A sample's metric is computed from the sum of its examples'
    counts, so that metrics that are not means, such as F1 over spans, are treated as exactly as accuracy.

    Args:
        original: Evaluation of the model that the others are compared with.
        counters: Its counters.
        goal: The metric.
        seed: Seed of the samples. Defaults to 0.
    """

    def __init__(self, original: Evaluation, counters: Counters, goal: Goal, seed: int = 0) -> None:
        self._counters, self._goal, self.original = counters, goal, original
        examples = len(original.counts)
        self._weights = np.random.default_rng(seed).multinomial(examples, np.full(examples, 1 / examples), size=DRAWS)
        self._scores = self._sampled(original)

    def loss(self, other: Evaluation) -> Loss:
        """Return what another model loses, with its interval.

        Args:
            other: Its evaluation on the same examples.
        """
        goal = self._goal
        estimate = goal.difference(self.original.scores[goal.name], other.scores[goal.name])
        low, high = np.percentile(goal.difference(self._scores, self._sampled(other)), _TAILS)
        resolution = 0.0 if goal.name == LOSS else resolution_of(len(other.counts))
        return Loss(float(estimate), float(low), max(float(high), resolution), resolution)

    def _sampled(self, evaluation: Evaluation) -> Array:
        sums = self._weights @ evaluation.counts
        different, places = np.unique(sums, axis=0, return_inverse=True)  # few, where there are few examples
        scores = [self._counters.metrics_of(evaluation.names, one)[self._goal.name] for one in different]
        return np.array(scores)[places.ravel()]


def resolution_of(examples: int) -> float:
    """Return the share of examples, in points, that a sample misses entirely with a probability of 2.5 %.

    From the exact interval of Clopper and Pearson (1934) for no event in `examples` trials.
    """
    return 100 * float(1 - (1 - _TAILS[1] / 100) ** (1 / examples))
