"""The projected LSTM in inference on a CPU: the formula of `lstm.py`, on packed copies of its weights.

Where llvmlite is installed, `machine_code.py` runs it as machine code. Elsewhere PyTorch does, and how a step runs
depends on how many sequences are in it, so that a batch changes from one way to the next as its sequences end:

- `joint`: many sequences. Where input and recurrent are both factored, their left factors are one matrix, and a step's
  gates come from one product with [x_t R_x; h_{t-1} R_h], bias and activations included. The directions run one after
  the other, each with the cache to itself.
- `apart`: fewer, or not factored. The input's part of the gates comes from one product for many steps. Also one
  direction after the other.
- `together`: so few that the calls cost more than the products. Both directions in each call, by the loop of `lstm.py`;
  and so, however many, where each gate has its own factors, or a left factor is shared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from elmo_mf.bilm.packing import State, groups, joined
from elmo_mf.bilm.runtime.machine_code import MachineCodeLstm, kernel_config
from elmo_mf.bilm.runtime.packed_linear import PackedLinear, Precision, Product, QuantizedLinear, tanh, unquantized
from elmo_mf.bilm.weights import GATES, Target

if TYPE_CHECKING:
    from elmo_mf.bilm.lstm import ProjectedLstm
    from elmo_mf.bilm.stacked_linear import StackedLinear


class PackedLstm:
    """All directions of a layer.

    Args:
        lstm: whose weights. They must not change.
        precision: of the weights.
    """

    def __init__(self, lstm: ProjectedLstm, precision: Precision) -> None:
        self.lstm = lstm
        self.directions = [PackedDirection(lstm, index, precision) for index in range(len(lstm.bias))]
        plain = not lstm.shared and lstm.input.blocks == lstm.recurrent.blocks == 1
        self.least_apart = _LEAST_PRODUCTS / lstm.recurrent.left[0].numel() if plain else math.inf
        factored = lstm.shared or (lstm.input.rank is not None and lstm.recurrent.rank is not None)
        self.least_joint = max(_LEAST_JOINT, self.least_apart) if factored and plain else math.inf
        quantized = any(map(self.directions[0].quantizes, (lstm.input, lstm.recurrent)))
        config = None if quantized else kernel_config(lstm, self.directions[0].dtype)
        self.native = None if config is None else MachineCodeLstm(lstm, self.directions, config)

    def __call__(self, inputs: Tensor, batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        """As `ProjectedLstm.forward`."""
        if self.native is not None and self.native.suits(batch_sizes[0]):
            return self.native(inputs, batch_sizes, state)
        outputs, ended = [], []
        for way, group in groupby(batch_sizes, self._way):
            sizes = list(group)
            tokens, (h, c) = sum(sizes), state
            ended.append((h[:, sizes[0] :], c[:, sizes[0] :]))
            state = h[:, : sizes[0]], c[:, : sizes[0]]
            if way == "together":
                output, state = self.lstm.run(self._input_gates(inputs[:, :tokens], sizes), sizes, state)
            else:
                output, state = self._apart(inputs[:, :tokens], sizes, state, way == "joint")
            outputs.append(output)
            inputs = inputs[:, tokens:]
        ended.append(state)
        return torch.cat(outputs, dim=1), joined(ended)

    def _way(self, sequences: int) -> str:
        if sequences < self.least_apart:
            return "together"
        return "apart" if sequences < self.least_joint else "joint"

    def _apart(self, inputs: Tensor, batch_sizes: list[int], state: State, joint: bool) -> tuple[Tensor, State]:
        runs = [
            direction(inputs[index], batch_sizes, state[0][index], state[1][index], joint)
            for index, direction in enumerate(self.directions)
        ]
        outputs, h, c = (torch.stack(part) for part in zip(*runs, strict=True))
        return outputs, (h, c)

    def _input_gates(self, inputs: Tensor, batch_sizes: list[int]) -> Iterator[Tensor]:
        for tokens, sizes in groups(batch_sizes, self.lstm.tokens_at_once):
            parts = [direction.input_part(own[tokens]) for own, direction in zip(inputs, self.directions, strict=True)]
            yield from torch.split(torch.stack(parts).float(), sizes, dim=1)


class PackedDirection:
    """One direction of a layer. Each packed copy is made when it is first used.

    Args:
        lstm: whose weights.
        index: which of its directions.
        precision: of the weights; `int8` for large dense matrices of the gates, with all others in bfloat16.
    """

    def __init__(self, lstm: ProjectedLstm, index: int, precision: Precision) -> None:
        self.lstm, self.index, self.precision = lstm, index, precision
        self.dtype = unquantized(precision)

    def __call__(
        self, inputs: Tensor, batch_sizes: list[int], h: Tensor, c: Tensor, joint: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run over packed sequences from the states `h` (sequences, p) and `c` (sequences, n).

        Returns:
            The states of all steps (steps of all sequences, p), and each sequence's last `h` and `c`.
        """
        n, cell_clip, proj_clip = self.lstm.cell_size, self.lstm.cell_clip, self.lstm.proj_clip
        outputs, ended = [], []
        steps, gates = (self._factored, self._joint_gates) if joint else (self._input_gates, self._gates)
        for size, step in zip(batch_sizes, steps(inputs, batch_sizes), strict=True):
            if size < len(h):
                ended.append((h[size:], c[size:]))
                h, c = h[:size], c[:size]
            ifo, g = gates(h.to(self.dtype), step)
            c = _clip(torch.mul(ifo[:, n : 2 * n], c).addcmul_(ifo[:, :n], g), cell_clip)
            h = _clip(self._project(tanh(c).mul_(ifo[:, 2 * n :])), proj_clip)
            outputs.append(h)
        ended.append((h, c))
        last_h, last_c = zip(*reversed(ended), strict=True)
        return torch.cat(outputs), torch.cat(last_h), torch.cat(last_c)

    def _input_gates(self, inputs: Tensor, batch_sizes: list[int]) -> Iterator[Tensor]:
        """Each step's input product with the bias, (sequences, 4n)."""
        for tokens, sizes in groups(batch_sizes, self.lstm.tokens_at_once):
            yield from torch.split(self.input_part(inputs[tokens]), sizes)

    def _gates(self, h: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """The three sigmoid gates i, f, o (sequences, 3n), and g (sequences, n)."""
        if self.lstm.recurrent.right is not None:
            h = torch.mm(h, self.right("recurrent"))
        gates = self._recurrent.plus(h, step)
        n = self.lstm.cell_size
        return gates[:, : 3 * n].sigmoid_(), gates[:, 3 * n :].tanh_()

    def _factored(self, inputs: Tensor, batch_sizes: list[int]) -> Iterator[Tensor]:
        """Each step's x R_x, with room for h R_h beside it, (sequences, r_x + r_h)."""
        right = self.right("input")
        rank = right.shape[1]
        factored = torch.empty(len(inputs), rank + self.right("recurrent").shape[1], dtype=self.dtype)
        torch.mm(inputs.to(self.dtype), right, out=factored[:, :rank])
        yield from torch.split(factored, batch_sizes)

    def _joint_gates(self, h: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """As `_gates`."""
        right = self.right("recurrent")
        torch.mm(h, right, out=step[:, -right.shape[1] :])
        sigmoids, tanhs = self._joint
        return sigmoids(step, "sigmoid"), tanhs(step, "tanh")

    def _project(self, cell: Tensor) -> Tensor:
        if self.lstm.projection is None:
            return cell
        cell = self._projection(cell.to(self.dtype))
        if self.lstm.projection.right is not None:
            cell = torch.mm(cell, self._projection_left)
        return cell.float()

    def input_part(self, inputs: Tensor) -> Tensor:
        """As `ProjectedLstm.input_part` for one direction, (rows, width); float32 but for bfloat16 weights."""
        inputs = inputs.to(self.dtype)
        if self.lstm.input.right is not None:
            inputs = torch.mm(inputs, self.right("input"))
        if self.lstm.input.blocks == 1:
            return self._input(inputs)
        parts = zip(inputs.chunk(GATES, dim=1), self._input_blocks, strict=True)
        return torch.cat([product(part) for part, product in parts], dim=1)

    def right(self, target: Target) -> Tensor:
        """A right factor of the gates, (in, r)."""
        return self._rights[target]

    @cached_property
    def _rights(self) -> dict[str, Tensor]:
        factors = {"input": self.lstm.input.right, "recurrent": self.lstm.recurrent.right}
        return {
            target: right[self.index].detach().to(self.dtype) for target, right in factors.items() if right is not None
        }

    @cached_property
    def _input(self) -> Product:
        return self._packed(self.lstm.input, None if self.lstm.shared else self._bias)

    @cached_property
    def _input_blocks(self) -> list[Product]:
        """Each gate's own left factor."""
        lefts = self._weight(self.lstm.input.left).chunk(GATES)
        return [
            PackedLinear(left.to(self.dtype), bias) for left, bias in zip(lefts, self._bias.chunk(GATES), strict=True)
        ]

    @cached_property
    def _recurrent(self) -> Product:
        return self._packed(self.lstm.recurrent, None)

    @cached_property
    def _joint(self) -> tuple[PackedLinear, PackedLinear]:
        """The joint left factors of input and recurrent: rows of i, f, o, and rows of g."""
        left = torch.cat([self._weight(self.lstm.input.left), self._weight(self.lstm.recurrent.left)], dim=1)
        rows = 3 * self.lstm.cell_size
        return (
            PackedLinear(left[:rows].to(self.dtype), self._bias[:rows]),
            PackedLinear(left[rows:].to(self.dtype), self._bias[rows:]),
        )

    @cached_property
    def _projection(self) -> Product:
        assert self.lstm.projection is not None
        first = self.lstm.projection.left if self.lstm.projection.right is None else self.lstm.projection.right
        return PackedLinear(self._weight(first).to(self.dtype))

    @cached_property
    def _projection_left(self) -> Tensor:
        assert self.lstm.projection is not None
        return self.lstm.projection.left[self.index].detach().to(self.dtype)

    def _packed(self, linear: StackedLinear, bias: Tensor | None) -> Product:
        """A dense matrix, or a left factor."""
        weight = self._weight(linear.left)
        if self.quantizes(linear):
            return QuantizedLinear(weight, bias, self.dtype)
        return PackedLinear(weight.to(self.dtype), bias)

    def quantizes(self, linear: StackedLinear) -> bool:
        """Whether a matrix of the gates is kept as integers."""
        dense = linear.right is None and not self.lstm.shared
        return self.precision == "int8" and dense and linear.left[0].numel() >= LEAST_QUANTIZED

    @property
    def _bias(self) -> Tensor:
        return self.lstm.bias[self.index, 0].detach()

    def _weight(self, stacked: Tensor) -> Tensor:
        """This direction's matrix, outputs first."""
        return stacked[self.index].detach().T


LEAST_QUANTIZED = 4e6  # numbers of a matrix; with fewer, bfloat16 in machine code is faster, measured
_LEAST_PRODUCTS = 2.5e6  # multiply-adds of a step's recurrent product, measured
_LEAST_JOINT = 8


def _clip(values: Tensor, bound: float | None) -> Tensor:
    return values if bound is None else values.clamp_(-bound, bound)
