"""Interface of every runtime of a layer's recurrence."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from elmo_mf.bilm.packing import State


class Runtime(Protocol):
    """All directions of one layer, run over packed sequences."""

    def __call__(self, inputs: Tensor, batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        """Run the recurrence.

        Args:
            inputs: (G, tokens, d), sorted by falling length, step after step.
            batch_sizes: Number of sequences still running at each step, never rising.
            state: Starting h (G, sequences, p) and c (G, sequences, n). They are left unchanged.

        Returns:
            The states of all steps (G, tokens, p), and each sequence's last h and c.
        """
