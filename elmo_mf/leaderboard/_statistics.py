"""Intervals of means over a few seeds, and over examples where these are known.

Three to five seeds are few to estimate a variance from, but a board has many encoders: the variance of each over seeds
is shrunk towards a common one, by empirical Bayes (Smyth 2004, Linear models and empirical Bayes methods for assessing
differential expression in microarray experiments). The common variance is estimated from the median and the quartiles,
and an encoder far above them keeps its own (Phipson et al. 2016, Robust hyperparameter estimation protects against
hypervariable genes), so that a few unstable encoders do not affect the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from elmo_mf.leaderboard._paired import NAN, Components

Array = npt.NDArray[np.float64]

ENOUGH = 3
"""Number of seeds on the same kind of machine that suffices to leave out seeds from other kinds."""
_LEAST_SHARED = 5  # number of variances from which on they are shrunk
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error.

    Attributes:
        parts: The variance components.
        of_seeds: Variance of the seeds' means, shrunk towards that of other encoders; nan where there is none.
        seed_freedom: Its degrees of freedom.
        example_freedom: Degrees of freedom of the variance by examples.
    """

    parts: Components
    of_seeds: float
    seed_freedom: float
    example_freedom: float

    @property
    def mean(self) -> float:
        """The mean."""
        return self.parts.mean

    @property
    def error(self) -> float:
        """Standard error of the mean; nan where it is unknown."""
        return math.sqrt(self._variance)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the standard error (Satterthwaite 1946)."""
        return satterthwaite((self._by_seeds, self.seed_freedom), (self.parts.of_examples, self.example_freedom))

    @property
    def _by_seeds(self) -> float:
        known = self.parts.units > 0 and self.parts.seeds == 1
        return 0.0 if known else self.of_seeds / self.parts.seeds

    @property
    def _variance(self) -> float:
        return self._by_seeds + self.parts.of_examples

    def half_width(self, level: float = LEVEL) -> float:
        """Return half the width of an interval of the mean; nan where it is unknown."""
        return quantile(self.freedom, level) * self.error if self.error > 0 else self.error

    def below(self, value: float) -> float:
        """Return the one-sided probability of a mean this low if the true mean is `value`; nan where it is unknown."""
        from scipy.special import stdtr

        if not self.error > 0:
            return NAN if math.isnan(self.error) else float(self.mean >= value)
        return float(stdtr(self.freedom, (self.mean - value) / self.error))


def satterthwaite(*terms: tuple[float, float]) -> float:
    """Return the degrees of freedom of a sum of variances.

    Args:
        terms: Variances, and the degrees of freedom of each.
    """
    spread = sum(variance**2 / freedom for variance, freedom in terms if variance > 0)
    total = sum(variance for variance, _ in terms)
    return total**2 / spread if spread > 0 else math.inf


def quantile(freedom: float, level: float) -> float:
    """Return the two-sided quantile of Student's t.

    Args:
        freedom: Degrees of freedom; infinity for the normal distribution.
        level: Probability between minus and plus the quantile, such as 0.95.
    """
    from scipy.special import ndtri, stdtrit  # scipy.stats takes a second and 50 MB

    tail = (1 + level) / 2
    return float(ndtri(tail) if math.isinf(freedom) else stdtrit(freedom, tail))


def estimates(parts: Sequence[Components]) -> list[Estimate]:
    """Return the means of one board with their standard errors; their seed variances are shrunk together."""
    of_seeds = np.array([one.of_seeds for one in parts], np.float64)
    freedom = np.array([max(one.seeds - 1, 0) for one in parts], np.float64)
    known = ~np.isnan(of_seeds)
    shrunk, total = of_seeds.copy(), freedom.copy()
    if known.any():
        shrunk[known], total[known] = moderated(of_seeds[known], freedom[known])
    return [
        # seeds vary at least as much as the examples alone account for
        Estimate(one, max(variance, one.of_both), degrees, max(one.units - 1, 0))
        for one, variance, degrees in zip(parts, shrunk.tolist(), total.tolist(), strict=True)
    ]


def moderated(variances: Array, freedom: Array) -> tuple[Array, Array]:
    """Shrink sample variances towards a common value, robustly against outliers.

    Args:
        variances: Sample variances.
        freedom: Degrees of freedom of each.

    Returns:
        The variances, and their degrees of freedom; both unchanged where fewer than five variances are positive.
    """
    from scipy.special import fdtrc

    varied = variances > 0
    if varied.sum() < _LEAST_SHARED:
        return variances, freedom
    typical = float(np.median(freedom[varied]))
    prior = _prior_freedom(float(np.subtract(*np.quantile(np.log(variances[varied]), [0.75, 0.25]))), typical)
    common = float(np.median(variances[varied])) / _quantile_of_ratio(typical, prior, 0.5)
    # probability of variances this large, compared with their number
    tail = fdtrc(freedom, min(prior, _LARGE), variances / common)
    order = np.argsort(variances, kind="stable")
    shares = (len(variances) - np.arange(len(variances)) - 0.5) / len(variances)
    usual = np.empty_like(tail)
    usual[order] = np.minimum.accumulate(np.minimum(tail[order] / shares, 1.0))
    # other encoders are compared with the same dense one, hence not independent, and may be of other kinds: they
    # count a quarter
    added = usual * np.minimum(prior, (freedom.sum() - freedom) / 4)
    return (added * common + freedom * variances) / (added + freedom), added + freedom


_LARGE = 1e6  # degrees of freedom that count as infinite


def _prior_freedom(spread: float, freedom: float) -> float:
    """Return the degrees of freedom of the variances' distribution, by the distance of its logarithms' quartiles."""
    from scipy.optimize import brentq

    def apart(log: float) -> float:
        low, high = (math.log(_quantile_of_ratio(freedom, math.exp(log), share)) for share in (0.25, 0.75))
        return high - low - spread

    least, most = math.log(0.5), math.log(_LARGE)
    if apart(most) >= 0:
        return math.inf
    return 0.5 if apart(least) <= 0 else math.exp(brentq(apart, least, most, xtol=1e-6))


def _quantile_of_ratio(freedom: float, prior: float, share: float) -> float:
    """Return a quantile of a sample variance divided by the common one."""
    from scipy.special import fdtri

    return float(fdtri(freedom, min(prior, _LARGE), share))
