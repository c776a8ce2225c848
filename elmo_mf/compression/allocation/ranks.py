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

    Attributes:
        gains: by how much each rank from 1 on lowers the error, never rising; as many as ranks are allowed.
        cost: of each rank.
    """

    gains: Array
    cost: int


def allocate(candidates: Mapping[K, Candidate], budget: int) -> dict[K, int]:
    """The ranks, 1 or more each, with the largest sum of gains whose sum of costs is within `budget`.

    Exact. Among matrices of one cost, the largest gains come first, since a matrix's own never rise; how much of the
    budget each group of equal cost has is found by branch and bound.

    Raises:
        ValueError: the budget does not do for rank 1 everywhere.
    """
    left = budget - sum(candidate.cost for candidate in candidates.values())
    if left < 0:
        raise ValueError(f"{budget} is less than {budget - left}, which rank 1 takes")
    groups: dict[int, list[tuple[float, K]]] = {}
    for key, candidate in candidates.items():
        groups.setdefault(candidate.cost, []).extend((float(gain), key) for gain in candidate.gains[1:])
    ordered = [(cost, sorted(items, key=lambda item: -item[0])) for cost, items in sorted(groups.items(), reverse=True)]
    search = _Search([_Group(cost, np.array([gain for gain, _ in items])) for cost, items in ordered])
    _, counts = search.best(left)
    ranks = dict.fromkeys(candidates, 1)
    for (_, items), count in zip(ordered, counts, strict=True):
        for _, key in items[:count]:
            ranks[key] += 1
    return ranks


class _Group:
    """Steps of equal cost, their gains never rising; `totals[k]` is the gain of the first k."""

    def __init__(self, cost: int, gains: Array) -> None:
        self.cost, self.gains, self.totals = cost, gains, np.cumsum([0, *gains])


class _Search:
    """How many steps of each group have the largest total gain, by branch and bound.

    The bound is what fractions of steps would gain, which are taken by gain per cost. It is concave in the budget, so
    that few counts of a group are worth a look.
    """

    def __init__(self, groups: list[_Group]) -> None:
        self.groups = groups
        self._curves = [_curve(groups[level:]) for level in range(len(groups))]
        self._slack = 1e-9 * float(sum(abs(group.totals[-1]) for group in groups))

    def best(self, budget: int) -> tuple[float, tuple[int, ...]]:
        """The total gain, and the count of each group; where counts tie, the largest from the first group on."""
        found = self._best(0, budget, -np.inf)
        assert found is not None
        return found

    def _best(self, level: int, budget: int, least: float) -> tuple[float, tuple[int, ...]] | None:
        """Of the groups from `level` on; None if none reaches the total gain `least`."""
        group, last = self.groups[level], level == len(self.groups) - 1
        most = min(len(group.gains), budget // group.cost)
        if last:
            return float(group.totals[most]), (most,)
        counts = np.arange(most + 1)
        if level == len(self.groups) - 2:
            return self._best_of_two(group, self.groups[-1], budget, counts)
        bounds = group.totals[counts] + np.interp(budget - group.cost * counts, *self._curves[level + 1])
        best = None
        for count in np.argsort(-bounds, kind="stable"):
            if bounds[count] < least - self._slack:
                break
            rest = self._best(level + 1, budget - group.cost * int(count), least - group.totals[count])
            if rest is None:
                continue
            option = rest[0] + float(group.totals[count]), (int(count), *rest[1])
            best = option if best is None else max(best, option)
            least = max(least, best[0])
        return best

    @staticmethod
    def _best_of_two(group: _Group, other: _Group, budget: int, counts: Array) -> tuple[float, tuple[int, ...]]:
        others = np.minimum(len(other.gains), (budget - group.cost * counts) // other.cost)
        totals = group.totals[counts] + other.totals[others]
        best = int(np.argmax(totals))
        return float(totals[best]), (best, int(others[best]))


def _curve(groups: list[_Group]) -> tuple[Array, Array]:
    """Costs, and the total gains that fractions of steps can have for them."""
    costs = np.concatenate([np.full(len(group.gains), group.cost) for group in groups])
    gains = np.concatenate([group.gains for group in groups])
    order = np.argsort(-gains / costs, kind="stable")
    return np.cumsum([0, *costs[order]]), np.cumsum([0, *gains[order]])
