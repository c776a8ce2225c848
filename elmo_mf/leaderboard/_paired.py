"""Comparison of two encoders example by example.

Two encoders are scored on the same test examples with the same seeds, so that each pair of a seed and an example gives
a difference. Seeds and examples are crossed random effects: another seed would change the mean difference, and so would
other test examples. This is the model with which radiology compares two ways of reading on several readers and cases
(Dorfman, Berbaum and Metz 1992, Receiver operating characteristic rating analysis, Investigative Radiology 27), seeds
being the readers; variance components are estimated by the method of moments, from the mean squares of a two-way table.
Examples of one document are not independent: documents take the place of examples then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NAN = float("nan")


@dataclass(frozen=True)
class Components:
    """Variance components of the mean.

    Attributes:
        mean: The mean.
        seeds: Number of seeds.
        of_seeds: Sample variance of the seeds' means; nan with one seed.
        of_both: The part of `of_seeds` that is expected from interactions of seeds and examples, which is less with
            more examples; 0 where examples are not known.
        of_examples: Variance of the mean by the choice of examples; 0 where these are not known.
        units: Number of examples, or of documents; 0 where these are not known.
    """

    mean: float
    seeds: int
    of_seeds: float
    of_both: float = 0.0
    of_examples: float = 0.0
    units: int = 0


def components(table: Array, clusters: Array | None = None) -> Components:
    """Estimate the variance components of a table's mean.

    Args:
        table: A value for each seed and example, (seeds, examples).
        clusters: The number of each example's document, (examples,); None where examples are independent.
    """
    seeds, mean = len(table), float(table.mean())
    values = table if clusters is None else by_cluster(table, clusters)
    units = values.shape[1]
    if units == 1:
        return components_of_seeds(table.mean(axis=1))
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    if seeds == 1:
        return Components(mean, 1, NAN, 0.0, float(values[0].var(ddof=1)) / units, units)
    interaction = values - rows[:, None] - columns + mean
    both = float((interaction**2).sum()) / ((seeds - 1) * (units - 1))  # mean square of the interaction
    examples = max(float(columns.var(ddof=1)) - both / seeds, 0.0)
    return Components(mean, seeds, float(rows.var(ddof=1)), both / units, examples / units, units)


def components_of_seeds(means: Array) -> Components:
    """Estimate what can be known from the mean of each seed alone, without examples."""
    variance = float(means.var(ddof=1)) if len(means) > 1 else NAN
    return Components(float(means.mean()), len(means), variance)


def by_cluster(table: Array, clusters: Array) -> Array:
    """Return a value for each seed and document, with the means of the table's rows.

    Documents have different numbers of examples, so that the mean is a ratio; the values are those of its linearisation
    around the mean of all (Cochran 1977, Sampling Techniques, section 9A), whose sample variance is that of the ratio.

    Args:
        table: A value for each seed and example, (seeds, examples).
        clusters: The number of each example's document, (examples,).

    Returns:
        Values, (seeds, documents).
    """
    _, place, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(place, row) for row in table])
    center, scale = table.mean(), len(counts) / table.shape[1]
    values: Array = center + scale * (sums - counts * center)
    return values
