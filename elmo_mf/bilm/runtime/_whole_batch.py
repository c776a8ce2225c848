"""Training on a CPU: all steps of a batch are one operation of autograd."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from elmo_mf.bilm.lstm_formula import LstmFormula
from elmo_mf.bilm.packing import State
from elmo_mf.bilm.runtime._autograd_recurrence import Recurrence
from elmo_mf.bilm.runtime._training_cells import training_cells
from elmo_mf.bilm.runtime_settings import RuntimeSettings
from elmo_mf.bilm.stacked_linear import StackedLinear


@dataclass(frozen=True)
class WholeBatchLstm:
    """The `Runtime` for training on a CPU, see `Recurrence`.

    Attributes:
        lstm: Its parameters and formula.
        settings: Thresholds.
    """

    lstm: LstmFormula
    settings: RuntimeSettings

    @staticmethod
    def suits(lstm: LstmFormula) -> bool:
        """Return whether each matrix is dense or has two factors of its own, and no hook waits for the products."""
        products = [module for module in lstm.modules() if isinstance(module, StackedLinear)]
        hooked = any(product._forward_pre_hooks or product._forward_hooks for product in products)
        return not lstm.shared and not hooked and all(product.blocks == 1 for product in products)

    def __call__(self, inputs: Tensor, batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        """Run the recurrence, see `Runtime`."""
        lstm = self.lstm
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else inputs.dtype
        cells = training_cells(lstm.cell_size, lstm.cell_clip, dtype, lstm.bias.dtype, self.settings)
        tokens = self.settings.tokens_at_once(lstm.bias)
        recurrence = Recurrence(batch_sizes, cells, lstm.proj_clip, dtype, tokens)
        projection = () if lstm.projection is None else lstm.projection.factors
        return recurrence(inputs, state, lstm.bias, lstm.input.factors, lstm.recurrent.factors, projection)
