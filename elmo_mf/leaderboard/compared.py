"""Estimates of a board's scores and differences, from the outputs of its runs where these are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from elmo_mf.leaderboard.paired import Components, components, components_of_seeds
from elmo_mf.records.outputs import SplitOutputs

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
        table = self._table(runs)
        if table is not None and others is not None:
            subtracted = self._table(others)
            table = None if subtracted is None or subtracted.shape != table.shape else table - subtracted
        if table is None:
            return components_of_seeds(means)
        clusters = self.outputs[runs[0]].cluster
        return components(table, None if clusters is None else clusters.astype(np.float64))

    def _table(self, runs: Sequence[Run]) -> npt.NDArray[np.float64] | None:
        """Return the outputs of runs, (runs, examples); None where one is not known, or has other examples."""
        known = [self.outputs[run].score for run in runs if run in self.outputs]
        if len(known) < len(runs) or len({len(one) for one in known}) > 1:
            return None
        return np.stack(known).astype(np.float64)
