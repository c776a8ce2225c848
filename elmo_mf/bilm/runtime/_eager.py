"""The formula in PyTorch operations: any device and type, with gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from elmo_mf.bilm.lstm_formula import LstmFormula
from elmo_mf.bilm.packing import State, split_steps
from elmo_mf.bilm.runtime_settings import RuntimeSettings


@dataclass(frozen=True)
class EagerLstm:
    """The `Runtime` that training uses.

    Attributes:
        lstm: Its parameters and formula.
        settings: Thresholds.
    """

    lstm: LstmFormula
    settings: RuntimeSettings

    def __call__(self, inputs: Tensor, batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        """Run the recurrence, see `Runtime`."""
        return self.lstm.run(self._input_parts(inputs, batch_sizes), batch_sizes, state)

    def _input_parts(self, inputs: Tensor, batch_sizes: list[int]) -> Iterator[Tensor]:
        """Each step's part of the input in the gates; those of many steps come from one product."""
        for tokens, sizes in split_steps(batch_sizes, self.settings.tokens_at_once(self.lstm.bias)):
            yield from torch.split(self.lstm.input_part(inputs[:, tokens]), sizes, dim=1)
