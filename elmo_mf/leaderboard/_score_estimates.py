"""Estimates of a board's scores and differences, from the outputs of its runs if they are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from elmo_mf.leaderboard._paired import Components, components, components_of_seeds
from elmo_mf.records.outputs import Array, SplitOutputs

_Table = npt.NDArray[np.float64]
_Quantity = Callable[[SplitOutputs], Array | None]
Run = tuple[str, int]
"""The key of an encoder, and a seed."""


@dataclass
class Scores:
    """Scores of a board's runs on one split.

    Attributes:
        means: The primary metric of each run.
        learned: The runs that did not collapse.
        outputs: What each example contributes to it, where that is known.
    """

    means: dict[Run, float] = field(default_factory=dict)
    learned: dict[Run, None] = field(default_factory=dict)
    outputs: dict[Run, SplitOutputs] = field(default_factory=dict)

    def components(self, runs: Sequence[Run], others: Sequence[Run] | None = None) -> Components | None:
        """Return the components of the mean score of some runs or, with `others`, of their differences to these.

        Args:
            runs: Runs of different seeds.
            others: For each run, the one that it is compared with.

        Returns:
            The components, by examples where all runs have outputs on the same ones; None where there are no runs.
        """
        if not runs:
            return None
        means = np.array([self.means[run] for run in runs])
        if others is not None:
            means -= [self.means[run] for run in others]
        table = self._table(runs, others, _score)
        return components_of_seeds(means) if table is None else self._by_example(table, runs)

    def nats(self, runs: Sequence[Run], others: Sequence[Run]) -> Components | None:
        """Return the components of the mean difference in cross-entropy between some runs and others, in nats.

        Args:
            runs: Runs of different seeds.
            others: For each run, the one that it is compared with.

        Returns:
            The components; None where the likelihoods of examples are not known, or there are no runs.
        """
        table = self._table(runs, others, _log_likelihood) if runs else None
        return None if table is None else self._by_example(-table, runs)

    def _by_example(self, table: _Table, runs: Sequence[Run]) -> Components:
        clusters = self.outputs[runs[0]].cluster
        return components(table, None if clusters is None else clusters.astype(np.float64))

    def _table(self, runs: Sequence[Run], others: Sequence[Run] | None, quantity: _Quantity) -> _Table | None:
        """Return outputs of runs minus those of others, (runs, examples); None where some are not known or differ."""
        parts = []
        for some in (runs,) if others is None else (runs, others):
            known = [one for run in some if run in self.outputs and (one := quantity(self.outputs[run])) is not None]
            if len(known) < len(some) or len({len(one) for one in known}) > 1:
                return None
            parts.append(np.stack(known).astype(np.float64))
        first, *subtracted = parts
        if any(part.shape != first.shape for part in subtracted):
            return None
        return first - subtracted[0] if subtracted else first


def _score(outputs: SplitOutputs) -> Array:
    return outputs.score


def _log_likelihood(outputs: SplitOutputs) -> Array | None:
    return outputs.log_likelihood
