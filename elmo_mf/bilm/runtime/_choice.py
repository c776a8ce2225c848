"""Chooses the runtime of a layer for each call."""

from __future__ import annotations

import os
import weakref
from typing import cast

import torch
from torch import Tensor, nn

from elmo_mf.bilm.derived_cache import DerivedCache
from elmo_mf.bilm.lstm_formula import LstmFormula
from elmo_mf.bilm.packing import State
from elmo_mf.bilm.runtime._cuda_graphs import CudaGraphLstm
from elmo_mf.bilm.runtime._eager import EagerLstm
from elmo_mf.bilm.runtime._kept_copies import CpuRuntimes
from elmo_mf.bilm.runtime._machine_code import MachineCodeLstm
from elmo_mf.bilm.runtime._packed_linear import Precision, reject_gradients, supports
from elmo_mf.bilm.runtime._packed_lstm import PackedLstm
from elmo_mf.bilm.runtime._protocol import Runtime
from elmo_mf.bilm.runtime._whole_batch import WholeBatchLstm
from elmo_mf.bilm.runtime_settings import RuntimeSettings, default_settings


class Runtimes(nn.Module):
    """The runtimes of one layer. Those that copy parameters are rebuilt when a parameter changes.

    Args:
        precision: Precision of the weights in inference on a CPU.
        settings: Thresholds; None for the process's default.
    """

    def __init__(self, precision: Precision, settings: RuntimeSettings | None = None) -> None:
        super().__init__()
        self.precision: Precision = precision
        self.settings = default_settings() if settings is None else settings
        self._cpu = DerivedCache[CpuRuntimes]()
        self._graphs = DerivedCache[CudaGraphLstm]()
        self._only: CpuRuntimes | None = None

    def keep_only_copies(self, lstm: LstmFormula) -> None:
        """Free the parameters that have copies for inference on a CPU; the layer then runs only there.

        Args:
            lstm: The layer.
        """
        self._cpu.clear()
        self._only = self._build_for_cpu(lstm)
        self._only.keep_only_copies(lstm)

    def choose(self, lstm: LstmFormula, inputs: Tensor, batch_sizes: list[int], state: State) -> Runtime:
        """Return the fastest runtime for a call.

        With gradients on a CPU it is one operation of autograd for all steps where it suits the matrices; otherwise,
        with gradients, in other types than float32 and for large batches on a GPU it is the formula in PyTorch; for
        small batches on a GPU CUDA graphs; and on a CPU machine code or, where that is not available or slower, PyTorch
        on packed weights.

        Args:
            lstm: Parameters and formula.
            inputs: See `Runtime`.
            batch_sizes: See `Runtime`.
            state: See `Runtime`.

        Raises:
            InputError: Gradients are needed, and only copies of the parameters are kept.
        """
        if self._only is not None:
            if lstm.needs_gradients(inputs, *state):
                reject_gradients()
            packed, machine_code = self._only
            suits = machine_code is not None and (packed.stacks or machine_code.suits(batch_sizes[0]))
            return cast(Runtime, machine_code if suits else packed)
        if not lstm.needs_gradients(inputs, *state):
            if inputs.device.type == "cpu" and inputs.dtype == torch.float32 and supports(self.precision):
                packed, machine_code = self._cpu.get(lstm.parameters(), lambda: self._build_for_cpu(lstm))
                return machine_code if machine_code and machine_code.suits(batch_sizes[0]) else packed
            if suits_graphs(inputs.device, batch_sizes[0], self.settings):
                capture = self.settings.graph_captures[inputs.device.type]
                return self._graphs.get(
                    lstm.parameters(), lambda: CudaGraphLstm(lstm, self.settings, capture), in_place=True
                )
        elif inputs.device.type == "cpu" and WholeBatchLstm.suits(lstm):
            return WholeBatchLstm(lstm, self.settings)
        return EagerLstm(lstm, self.settings)

    def _build_for_cpu(self, lstm: LstmFormula) -> CpuRuntimes:
        lstm = cast(
            LstmFormula, weakref.proxy(lstm)
        )  # which owns the result: otherwise its memory is kept until garbage is collected
        packed = PackedLstm(lstm, self.precision, self.settings)
        machine_code = None if packed.quantizes else MachineCodeLstm.build(lstm, packed.directions, self.settings)
        return CpuRuntimes(packed, machine_code)


def suits_graphs(device: torch.device, sequences: int, settings: RuntimeSettings) -> bool:
    """Return whether kernel launches dominate a batch's time and CUDA graph capture is possible.

    It is False if the environment has `ELMO_MF_CUDA_GRAPHS=0`.

    Args:
        device: Device of the layer.
        sequences: Number of sequences in the first step.
        settings: Thresholds.
    """
    if device.type not in settings.graph_captures or sequences > settings.graph_max_sequences:
        return False
    if os.environ.get("ELMO_MF_CUDA_GRAPHS") == "0" or torch.is_autocast_enabled(device.type):
        return False
    return device.type != "cuda" or not torch.cuda.is_current_stream_capturing()
