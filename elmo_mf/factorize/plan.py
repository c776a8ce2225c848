"""Which rank each matrix gets under a budget."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from elmo_mf.bilm.weights import Array

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Candidate:
    """A matrix that shares a budget.

    # Parameters
    gains: by how much each rank from 1 on lowers the error, never rising; as many as ranks are allowed.
    cost: of each rank.
    """

    gains: Array
    cost: int


def allocate(candidates: Mapping[K, Candidate], budget: int) -> dict[K, int]:
    """The ranks, 1 or more each, with the largest sum of gains whose sum of costs is within `budget`.

    Exact. Among matrices of one cost, the largest gains come first, since a matrix's own never rise; and how much of
    the budget each group of equal cost has is found by trying all.

    # Raises
    ValueError: the budget does not do for rank 1 everywhere.
    """
    left = budget - sum(candidate.cost for candidate in candidates.values())
    if left < 0:
        raise ValueError(f"{budget} is less than {budget - left}, which rank 1 takes")
    groups: dict[int, list[tuple[float, K]]] = {}
    for key, candidate in candidates.items():
        groups.setdefault(candidate.cost, []).extend((float(gain), key) for gain in candidate.gains[1:])
    ordered = [(cost, sorted(items, key=lambda item: -item[0])) for cost, items in sorted(groups.items(), reverse=True)]
    _, counts = _best([(cost, np.cumsum([0, *(gain for gain, _ in items)])) for cost, items in ordered], left)
    ranks = dict.fromkeys(candidates, 1)
    for (_, items), count in zip(ordered, counts, strict=True):
        for _, key in items[:count]:
            ranks[key] += 1
    return ranks


def _best(groups: list[tuple[int, Array]], budget: int) -> tuple[float, tuple[int, ...]]:
    """How many items of each group (cost, total gain of the first k), and the total gain."""
    (cost, gains), *rest = groups
    most = min(len(gains) - 1, budget // cost)
    if not rest:
        return float(gains[most]), (most,)
    if len(rest) == 1:
        other_cost, other_gains = rest[0]
        others = np.minimum(len(other_gains) - 1, (budget - cost * np.arange(most + 1)) // other_cost)
        totals = gains[: most + 1] + other_gains[others]
        best = int(np.argmax(totals))
        return float(totals[best]), (best, int(others[best]))
    options = []
    for count in range(most + 1):
        gain, counts = _best(rest, budget - cost * count)
        options.append((gain + float(gains[count]), (count, *counts)))
    return max(options)
