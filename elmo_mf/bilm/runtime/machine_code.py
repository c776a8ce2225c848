"""The projected LSTM in inference on a CPU as machine code: the weights and the tasks that `kernel` runs on.

A task is one direction of some sequences, for all steps, so that threads never wait for each other. With many sequences
and a factored input, its left factor is applied step by step like the recurrent one (`joint`); else the input's part of
the gates comes from one product for many steps.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from elmo_mf.bilm.packing import State, groups
from elmo_mf.bilm.runtime.kernel.config import KernelConfig

if TYPE_CHECKING:
    from elmo_mf.bilm.lstm import ProjectedLstm
    from elmo_mf.bilm.runtime.packed_lstm import PackedDirection
    from elmo_mf.bilm.stacked_linear import StackedLinear


def kernel_config(lstm: ProjectedLstm, dtype: torch.dtype) -> KernelConfig | None:
    """The config of a layer's directions with weights of that type, None where there is no machine code for it here, or
    the environment says `ELMO_MF_NATIVE=0`."""
    if find_spec("llvmlite") is None or os.environ.get("ELMO_MF_NATIVE") == "0":
        return None
    from elmo_mf.bilm.runtime.kernel.compiled import has_bfloat16, lanes

    width, bf16 = lanes(), dtype == torch.bfloat16
    if width is None or lstm.cell_size % width or lstm.state_size % width or (bf16 and not has_bfloat16()):
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
        lanes=width,
        bf16=bf16,
        blocks=lstm.recurrent.blocks,
        shared=lstm.shared,
    )


class MachineCodeLstm:
    """All directions of a layer.

    Args:
        lstm: whose weights. They must not change.
        directions: the same weights, for the input's products.
        config: of the directions.
    """

    def __init__(self, lstm: ProjectedLstm, directions: Sequence[PackedDirection], config: KernelConfig) -> None:
        self.lstm, self.directions, self.config = lstm, directions, config
        stepwise = lstm.input.rank is not None and lstm.input.blocks == 1
        self.joint_config = replace(config, input_rank=lstm.input.rank) if stepwise else None
        self.least_joint = self.joint_config.input_width / _RANK_A_SEQUENCE if self.joint_config else math.inf

    def suits(self, sequences: int) -> bool:
        """Whether it is the fastest way: reading dense matrices for a few sequences takes more threads than these."""
        tasks = len(self.directions) * self._slices(sequences)
        return self.config.recurrent_rank is not None or 2 * tasks >= torch.get_num_threads()

    def __call__(self, inputs: Tensor, batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        """As `ProjectedLstm.forward`."""
        config = self.config
        h = state[0].clone(memory_format=torch.contiguous_format)
        c = h.new_empty(*state[1].shape[:2], config.c_width)
        c[:, :, : config.n] = state[1]
        outputs = h.new_empty(*inputs.shape[:2], config.p)
        done = 0
        for joint, group in groupby(batch_sizes, lambda size: size >= self.least_joint):
            for tokens, sizes in groups(list(group), math.inf if joint else self.lstm.tokens_at_once):
                place = slice(done + tokens.start, done + tokens.stop)
                self._run(inputs[:, place], outputs[:, place], sizes, h, c, joint)
            done = place.stop
        return outputs, (h, c[:, :, : config.n])

    def _run(self, inputs: Tensor, outputs: Tensor, sizes: list[int], h: Tensor, c: Tensor, joint: bool) -> None:
        from elmo_mf.bilm.runtime.kernel.compiled import kernel

        config = self.joint_config if joint and self.joint_config else self.config
        parts = [self._factored(d, own) if joint else self._gates(d, own) for d, own in enumerate(inputs)]
        slices = self._slices(sizes[0])
        scratch = h.new_empty(len(parts), slices, -(-sizes[0] // slices) * config.scratch_width)
        batch_sizes = torch.tensor(sizes)
        tasks = [
            [
                *(tensor.data_ptr() for tensor in (part, outputs[d], h[d], c[d], batch_sizes)),
                *(len(sizes), first, slices, scratch[d, first].data_ptr()),
                *(0 if weight is None else weight.data_ptr() for weight in self._weights(d, joint)),
            ]
            for d, part in enumerate(parts)
            for first in range(slices)
        ]
        kernel(config)(torch.tensor(tasks))

    def _slices(self, sequences: int) -> int:
        """Into how many tasks the sequences of a direction are dealt."""
        return min(sequences, max(1, torch.get_num_threads() // len(self.directions)))

    def _gates(self, direction: int, inputs: Tensor) -> Tensor:
        part = self.directions[direction].input_part(inputs).float()
        return self.config.blockwise(part) if self.config.shared else part

    def _factored(self, direction: int, inputs: Tensor) -> Tensor:
        """x R_x, (rows, input_width)."""
        assert self.joint_config is not None
        rank, width = self.joint_config.input_rank, self.joint_config.input_width
        factored = inputs.new_empty(len(inputs), width, dtype=self.config.dtype)
        factored[:, rank:] = 0
        torch.mm(inputs.to(self.config.dtype), self.directions[direction].right("input"), out=factored[:, :rank])
        return factored

    def _weights(self, direction: int, joint: bool) -> tuple[Tensor | None, ...]:
        """From `bias` on what a task names."""
        return (self._biases[direction], self._inputs[direction] if joint else None, *self._panels[direction])

    @cached_property
    def _biases(self) -> list[Tensor]:
        return [bias[0].detach().contiguous() for bias in self.lstm.bias]

    @cached_property
    def _inputs(self) -> list[Tensor]:
        assert self.joint_config is not None
        return [
            self.joint_config.gate_panels(left.detach(), self.joint_config.input_width) for left in self.lstm.input.left
        ]

    @cached_property
    def _panels(self) -> list[tuple[Tensor | None, ...]]:
        """Each direction's `right`, `gates`, `cells` and `states`."""
        config = self.config
        found: list[tuple[Tensor | None, ...]] = []
        for d in range(len(self.lstm.bias)):
            left, right = _factors(self.lstm.recurrent, d)
            gates = config.gate_panels(left, config.p if right is None else config.block_width)
            own = [None if right is None else config.panels(config.blockwise(right), config.p), gates, None, None]
            if self.lstm.projection is not None:
                out, into = _factors(self.lstm.projection, d)
                own[2] = config.panels(out if into is None else into, config.n)
                own[3] = None if into is None else config.panels(out, config.cells_width)
            found.append(tuple(own))
        return found


def _factors(linear: StackedLinear, direction: int) -> tuple[Tensor, Tensor | None]:
    """Left and right factor, or a dense matrix."""
    right = linear.right
    return linear.left[direction].detach(), None if right is None else right[direction].detach()


_RANK_A_SEQUENCE = 16  # measured: from rank / 16 sequences on, the joint way is faster
