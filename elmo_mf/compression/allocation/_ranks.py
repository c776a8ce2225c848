"""Exact allocation of ranks within a budget."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from elmo_mf.bilm.weights import Array

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Candidate:
    """A matrix that shares a budget with others.

    Attributes:
        error_reductions: How much each further rank, starting with 1, lowers the squared error; in falling order, and
            as many as there are ranks to choose from.
        cost: Parameters of one rank.
    """

    error_reductions: Array
    cost: int

    @classmethod
    def relative(cls, error_reductions: Array, total: float, most_ranks: int, cost: int) -> Candidate:
        """Build a candidate whose reductions are relative to the whole matrix.

        Otherwise matrices with large values would take all of a budget.

        Args:
            error_reductions: How much each further rank lowers the squared error.
            total: Squared norm of the whole matrix.
            most_ranks: Number of ranks to choose from.
            cost: Parameters of one rank.
        """
        kept = error_reductions[:most_ranks]
        return cls(kept / total if total > 0 else kept, cost)


def allocate_ranks(candidates: Mapping[K, Candidate], budget: int) -> dict[K, int]:
    """Choose the ranks with the largest total error reduction whose total cost is within a budget.

    The result is exact. Among matrices of equal cost, the largest reductions come first, because those of one matrix
    never rise; how much of the budget each group of equal cost gets is found by branch and bound.

    Args:
        candidates: Matrices by any key.
        budget: Parameters of all factors together.

    Returns:
        The rank of each matrix, at least 1.

    Raises:
        ValueError: Rank 1 everywhere costs more than the budget.

    Examples:
        >>> first, second = Candidate(np.array([5.0, 4.0, 1.0]), cost=2), Candidate(np.array([3.0, 2.0]), cost=3)
        >>> allocate_ranks({"a": first, "b": second}, budget=9)
        {'a': 3, 'b': 1}
    """
    left = budget - sum(candidate.cost for candidate in candidates.values())
    if left < 0:
        raise ValueError(f"{budget} is less than {budget - left}, which rank 1 takes")
    groups: dict[int, list[tuple[float, K]]] = {}
    for key, candidate in candidates.items():
        further = [(float(reduction), key) for reduction in candidate.error_reductions[1:]]
        groups.setdefault(candidate.cost, []).extend(further)
    ordered = [(cost, sorted(steps, key=lambda step: -step[0])) for cost, steps in sorted(groups.items(), reverse=True)]
    search = _Search([_Group(cost, np.array([reduction for reduction, _ in steps])) for cost, steps in ordered])
    _, counts = search.best(left)
    ranks = dict.fromkeys(candidates, 1)
    for (_, steps), count in zip(ordered, counts, strict=True):
        for _, key in steps[:count]:
            ranks[key] += 1
    return ranks


class _Group:
    """Steps of equal cost, by falling error reduction; `totals[k]` is the reduction of the first k together."""

    def __init__(self, cost: int, reductions: Array) -> None:
        self.cost, self.reductions, self.totals = cost, reductions, np.cumsum([0, *reductions])


class _Search:
    """Branch and bound over the number of steps of each group.

    The bound is the reduction that fractions of steps would reach, chosen by reduction per cost. It is concave in the
    budget, so that few counts of a group have to be looked at.
    """

    def __init__(self, groups: list[_Group]) -> None:
        self.groups = groups
        self._curves = [_curve(groups[level:]) for level in range(len(groups))]
        self._slack = 1e-9 * float(sum(abs(group.totals[-1]) for group in groups))

    def best(self, budget: int) -> tuple[float, tuple[int, ...]]:
        """The total reduction, and the count of each group; among ties, the largest counts from the first group on."""
        best = self._best(0, budget, -np.inf)
        assert best is not None
        return best

    def _best(self, level: int, budget: int, least: float) -> tuple[float, tuple[int, ...]] | None:
        """The best of the groups from `level` on; None if no choice reaches the total reduction `least`."""
        group, last = self.groups[level], level == len(self.groups) - 1
        most = min(len(group.reductions), budget // group.cost)
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
            remaining = self._best(level + 1, budget - group.cost * int(count), least - group.totals[count])
            if remaining is None:
                continue
            option = remaining[0] + float(group.totals[count]), (int(count), *remaining[1])
            best = option if best is None else max(best, option)
            least = max(least, best[0])
        return best

    @staticmethod
    def _best_of_two(group: _Group, other: _Group, budget: int, counts: Array) -> tuple[float, tuple[int, ...]]:
        others = np.minimum(len(other.reductions), (budget - group.cost * counts) // other.cost)
        totals = group.totals[counts] + other.totals[others]
        best = int(np.argmax(totals))
        return float(totals[best]), (best, int(others[best]))


def _curve(groups: list[_Group]) -> tuple[Array, Array]:
    """Costs, and the total reductions that fractions of steps reach at these costs."""
    costs = np.concatenate([np.full(len(group.reductions), group.cost) for group in groups])
    reductions = np.concatenate([group.reductions for group in groups])
    order = np.argsort(-reductions / costs, kind="stable")
    return np.cumsum([0, *costs[order]]), np.cumsum([0, *reductions[order]])
