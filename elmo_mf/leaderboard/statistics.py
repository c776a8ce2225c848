"""Intervals of differences over a few seeds.

Two or three seeds are few to estimate a variance from, but a board has many encoders: the variance of each is shrunk
towards the variance that all of them have in common, by empirical Bayes
(Smyth 2004, Linear models and empirical Bayes methods for assessing differential expression in microarray experiments,
section 6).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]

ENOUGH = 3
"""Smallest number of seeds from which to conclude that there is no difference."""


def half_width(frame: pd.DataFrame) -> pd.Series:
    """Return half the width of each encoder's 95 % interval of its mean `difference`, by a moderated t.

    With one encoder it is Student's t.

    Args:
        frame: A row per run, with columns `encoder` and `difference`.

    Returns:
        Half widths by encoder; nan where there is one difference only.
    """
    from scipy.special import stdtrit  # scipy.stats takes a second and 50 MB

    groups = frame.dropna(subset="difference").groupby("encoder")["difference"]
    counts = groups.count()
    counts = counts[counts > 1]
    degrees: Array = np.asarray(counts - 1, np.float64)
    variances, prior = moderated(np.asarray(groups.var(ddof=1)[counts.index], np.float64), degrees)
    # other encoders' differences are to the same dense encoder, hence not independent: they count half
    freedom = degrees + np.minimum(prior, (degrees.sum() - degrees) / 2)
    half = pd.Series(stdtrit(freedom, 0.975) * np.sqrt(variances / (degrees + 1)), index=counts.index)
    return half.reindex(list(groups.groups))


def moderated(variances: Array, freedom: Array) -> tuple[Array, float]:
    """Shrink sample variances towards the variance that they have in common.

    Args:
        variances: Sample variances.
        freedom: Degrees of freedom of each.

    Returns:
        The variances, and the prior's degrees of freedom: 0 where fewer than two variances are positive, infinite
        where they vary only as much as samples of one variance do.
    """
    from scipy.special import digamma, polygamma

    varied = variances > 0
    if varied.sum() < 2:
        return variances, 0.0
    halves = freedom[varied] / 2
    logs = np.log(variances[varied]) - digamma(halves) + np.log(halves)
    spread = logs.var(ddof=1) - polygamma(1, halves).mean()
    if spread <= 0:
        return np.full_like(variances, np.average(variances, weights=freedom)), math.inf
    half = _inverse_trigamma(spread)
    common = np.exp(logs.mean() + digamma(half) - np.log(half))
    return (2 * half * common + freedom * variances) / (2 * half + freedom), 2 * half


def _inverse_trigamma(value: float) -> float:
    from scipy.optimize import brentq
    from scipy.special import polygamma

    root: float = brentq(lambda log: np.log(polygamma(1, np.exp(log)) / value), -50, 50)
    return math.exp(root)
