"""The projected LSTM in inference on a CPU as machine code: the weights and the tasks that `kernel` runs on.

A task is one direction of some sequences, for all steps, so that threads never wait for each other. With many sequences
and a factored input, the input's left factor is applied step by step like the recurrent one (`joint`); else the input's
part of the gates comes from one product for many steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import cast

import torch
from torch import Tensor

from elmo_mf.bilm.lstm_formula import LstmFormula
from elmo_mf.bilm.packing import State, split_steps
from elmo_mf.bilm.runtime._packed_linear import full_precision
from elmo_mf.bilm.runtime._packed_lstm import PackedDirection
from elmo_mf.bilm.runtime.kernel.kernel_config import KernelConfig
from elmo_mf.bilm.runtime_settings import RuntimeSettings
from elmo_mf.bilm.stacked_linear import Part, StackedLinear
from elmo_mf.bilm.weights import Target


def kernel_config(lstm: LstmFormula, dtype: torch.dtype, settings: RuntimeSettings) -> KernelConfig | None:
    """Return the configuration of a layer's directions.

    Args:
        lstm: The layer.
        dtype: Type of the weights.
        settings: Whether machine code may be used.

    Returns:
        None if there is no machine code for the layer on this processor, llvmlite is not installed, or the settings or
        `ELMO_MF_NATIVE=0` in the environment forbid it.
    """
    if not settings.may_compile():
        return None
    from elmo_mf.bilm.runtime.kernel import compiled

    lanes, bf16 = settings.machine_code_lanes or compiled.lanes(), dtype == torch.bfloat16
    if lanes is None or lstm.cell_size % lanes or lstm.state_size % lanes:
        return None
    if bf16 and not (compiled.has_bfloat16() and lanes == compiled.lanes()):
        return None
    return KernelConfig(
        n=lstm.cell_size,
        p=lstm.state_size,
        input_rank=None,
        recurrent_rank=lstm.recurrent.rank,
        projection_rank=None if lstm.projection is None else lstm.projection.rank,
        projected=lstm.projection is not None,
        cell_clip=lstm.cell_clip,
        proj_clip=lstm.proj_clip,
        lanes=lanes,
        bf16=bf16,
        blocks=lstm.recurrent.blocks,
        shared=lstm.shared,
    )


class MachineCodeLstm:
    """All directions of a layer, a `Runtime`.

    Args:
        lstm: Parameters. They must not change.
        directions: The same parameters, for the input's products.
        config: Configuration of the directions.
        settings: Thresholds.
    """

    def __init__(
        self, lstm: LstmFormula, directions: Sequence[PackedDirection], config: KernelConfig, settings: RuntimeSettings
    ) -> None:
        self.lstm, self.directions, self.config, self.settings = lstm, directions, config, settings
        self.joint_config: KernelConfig | None = None
        self._min_joint = math.inf  # sequences
        if lstm.input.rank is not None and lstm.input.blocks == 1:
            self.joint_config = replace(config, input_rank=lstm.input.rank)
            self._min_joint = self.joint_config.input_width / settings.machine_code_ranks_per_sequence

    @classmethod
    def build(
        cls, lstm: LstmFormula, directions: Sequence[PackedDirection], settings: RuntimeSettings
    ) -> MachineCodeLstm | None:
        """Return the runtime; None if there is no machine code for the layer, see `kernel_config`.

        Args:
            lstm: See `MachineCodeLstm`.
            directions: See `MachineCodeLstm`.
            settings: Thresholds.
        """
        config = kernel_config(lstm, directions[0].dtype, settings)
        return None if config is None else cls(lstm, directions, config, settings)

    def suits(self, sequences: int) -> bool:
        """Return whether it is the fastest runtime for a batch.

        Reading dense matrices for a few sequences takes more threads than it has tasks.
        """
        tasks = len(self.directions) * self._slices(sequences)
        return self.config.recurrent_rank is not None or 2 * tasks >= torch.get_num_threads()

    def is_joint(self, sequences: int) -> bool:
        """Return whether the code applies the input's left factor in a step of so many sequences."""
        return sequences >= self._min_joint

    def __call__(self, inputs: Tensor, batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        """Run the recurrence, see `Runtime`."""
        with full_precision():
            return self._run(inputs, batch_sizes, state)

    def _run(self, inputs: Tensor, batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        config = self.config
        h = state[0].clone(memory_format=torch.contiguous_format)
        c = h.new_empty(*state[1].shape[:2], config.c_width)
        c[:, :, : config.n] = state[1]
        outputs = h.new_empty(*inputs.shape[:2], config.p)
        done = 0
        for joint, group in groupby(batch_sizes, self.is_joint):
            max_tokens = math.inf if joint else self.settings.tokens_at_once(self.lstm.bias)
            for tokens, sizes in split_steps(list(group), max_tokens):
                place = slice(done + tokens.start, done + tokens.stop)
                self._run_steps(inputs[:, place], outputs[:, place], sizes, h, c, joint)
            done = place.stop
        return outputs, (h, c[:, :, : config.n])

    def _run_steps(self, inputs: Tensor, outputs: Tensor, sizes: list[int], h: Tensor, c: Tensor, joint: bool) -> None:
        from elmo_mf.bilm.runtime.kernel.compiled import kernel
        from elmo_mf.bilm.runtime.kernel.task import Task

        config = self.joint_config if joint and self.joint_config else self.config
        parts = [self._factored_input(d, rows) if joint else self._input_part(d, rows) for d, rows in enumerate(inputs)]
        slices = self._slices(sizes[0])
        scratch = h.new_empty(len(parts), slices, -(-sizes[0] // slices) * config.scratch_width)
        batch_sizes = torch.tensor(sizes)
        tasks = [
            Task(
                inputs=part.data_ptr(),
                outputs=outputs[d].data_ptr(),
                h=h[d].data_ptr(),
                c=c[d].data_ptr(),
                batch_sizes=batch_sizes.data_ptr(),
                steps=len(sizes),
                first=first,
                stride=slices,
                scratch=scratch[d, first].data_ptr(),
                bias=self._biases[d].data_ptr(),
                input_left=_address(self._input_lefts[d]) if joint else None,
                recurrent_right=_address(self._panels[d].recurrent_right),
                recurrent=self._panels[d].recurrent.data_ptr(),
                projection=_address(self._panels[d].projection),
                projection_left=_address(self._panels[d].projection_left),
            )
            for d, part in enumerate(parts)
            for first in range(slices)
        ]
        kernel(config)(tasks, self.settings.openmp)

    def _slices(self, sequences: int) -> int:
        """Number of tasks that share the sequences of a direction."""
        return min(sequences, max(1, torch.get_num_threads() // len(self.directions)))

    def _input_part(self, direction: int, inputs: Tensor) -> Tensor:
        """The input's part of the gates, (rows, 4n), or R_x x of a shared left factor."""
        part = self.directions[direction].input_part(inputs).float()
        return self.config.blockwise(part) if self.config.shared else part

    def _factored_input(self, direction: int, inputs: Tensor) -> Tensor:
        """Return x R_x, (rows, input_width)."""
        assert self.joint_config is not None
        rank, width = self.joint_config.input_rank, self.joint_config.input_width
        factored = inputs.new_empty(len(inputs), width, dtype=self.config.dtype)
        factored[:, rank:] = 0
        torch.mm(inputs.to(self.config.dtype), self.directions[direction].right("input"), out=factored[:, :rank])
        return factored

    def has_copies(self, target: Target) -> bool:
        """Return whether the code reads copies of a matrix, which it does with the input's factors only."""
        return target != "input" or self.joint_config is not None

    def numbers(self, target: Target, part: Part, direction: int) -> Tensor:
        """Return a factor as it is multiplied, in float32.

        Args:
            target: Which matrix, see `has_copies`.
            part: Which of its factors; a dense matrix is a left one.
            direction: Which direction's.

        Returns:
            (in, out).
        """
        if target == "input":
            if part == "right" or self.joint_config is None:
                return self.directions[direction].numbers(target, part)
            return self.joint_config.gates_of_panels(
                self._input_lefts[direction], self.lstm.input.left.shape[1]
            ).float()
        linear = cast(StackedLinear, self.lstm.recurrent if target == "recurrent" else self.lstm.projection)
        return self._panels[direction].numbers(linear, target, part, self.config).float()

    @cached_property
    def _biases(self) -> list[Tensor]:
        return [bias[0].detach().contiguous() for bias in self.lstm.bias]

    @cached_property
    def _input_lefts(self) -> list[Tensor]:
        config = self.joint_config
        assert config is not None
        lefts = (self.lstm.input.numbers("left", direction) for direction in range(len(self.directions)))
        return [config.gate_panels(left, config.input_width) for left in lefts]

    @cached_property
    def _panels(self) -> list[_Panels]:
        return [_Panels.of(self.lstm, direction, self.config) for direction in range(len(self.lstm.bias))]


@dataclass(frozen=True)
class _Panels:
    """The weights of one direction as the machine code reads them; see the fields of `Task`."""

    recurrent_right: Tensor | None
    recurrent: Tensor
    projection: Tensor | None
    projection_left: Tensor | None

    @classmethod
    def of(cls, lstm: LstmFormula, direction: int, config: KernelConfig) -> _Panels:
        left, right = _factors(lstm.recurrent, direction)
        recurrent_right = None if right is None else config.panels(config.blockwise(right), config.p)
        recurrent = config.gate_panels(left, config.p if right is None else config.block_width)
        if lstm.projection is None:
            return cls(recurrent_right, recurrent, None, None)
        left, right = _factors(lstm.projection, direction)
        if right is None:
            return cls(recurrent_right, recurrent, config.panels(left, config.n), None)
        projection_left = config.panels(left, config.projection_width)
        return cls(recurrent_right, recurrent, config.panels(right, config.n), projection_left)

    def numbers(self, linear: StackedLinear, target: Target, part: Part, config: KernelConfig) -> Tensor:
        """Return a factor, (in, out)."""
        rows, columns = cast(Tensor, linear.left if part == "left" else linear.right).shape[1:]
        if target == "recurrent" and part == "left":
            return config.gates_of_panels(self.recurrent, rows)
        if target == "recurrent":
            padded = config.unpanelled(cast(Tensor, self.recurrent_right), (rows, config.right_width))
            return config.unpadded(padded)
        inner = linear.right is not None and part == "left"
        return config.unpanelled(cast(Tensor, self.projection_left if inner else self.projection), (rows, columns))


def _factors(linear: StackedLinear, direction: int) -> tuple[Tensor, Tensor | None]:
    """Left and right factor, or a dense matrix and None; (in, out) each."""
    right = None if linear.right is None else linear.numbers("right", direction)
    return linear.numbers("left", direction), right


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
