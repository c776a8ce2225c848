"""The projected LSTM in inference on a CPU, in PyTorch operations on packed copies of its weights.

It runs where there is no machine code, or where that is slower. How a step runs depends on how many sequences are in
it, so that a batch changes from one layout to the next as its sequences end:

- `joint`: many sequences. Where input and recurrent are both factored, their left factors are one matrix, and a step's
  gates come from one product with [x_t R_x; h_{t-1} R_h], bias and activations included. The directions run one after
  the other, so that each has the cache to itself.
- `separate`: fewer sequences, or matrices that are not factored. The input's part of the gates comes from one product
  for many steps. The directions also run one after the other.
- `stacked`: so few sequences that calls cost more than products. Both directions run in each call, by the loop of
  `LstmFormula.run`. Gates with factors of their own and shared left factors always run in this layout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor

from elmo_mf.bilm.lstm_formula import LstmFormula
from elmo_mf.bilm.packing import State, join_final_states, split_steps
from elmo_mf.bilm.runtime._packed_linear import (
    PackedLinear,
    Precision,
    Product,
    QuantizedLinear,
    full_precision,
    tanh,
    unquantized,
)
from elmo_mf.bilm.runtime_settings import RuntimeSettings
from elmo_mf.bilm.stacked_linear import Part, StackedLinear
from elmo_mf.bilm.weights import GATES, Target

PackedLayout = Literal["joint", "separate", "stacked"]


class PackedLstm:
    """All directions of a layer, a `Runtime`.

    Args:
        lstm: Parameters and formula. The parameters must not change.
        precision: Precision of the weights.
        settings: Thresholds.
    """

    def __init__(self, lstm: LstmFormula, precision: Precision, settings: RuntimeSettings) -> None:
        self.lstm, self.settings = lstm, settings
        self.directions = [PackedDirection(lstm, index, precision, settings) for index in range(len(lstm.bias))]
        self.quantizes = any(map(self.directions[0].quantizes, (lstm.input, lstm.recurrent)))
        self._min_separate = self._min_joint = math.inf  # sequences from which a layout is used
        if not lstm.shared and lstm.input.blocks == lstm.recurrent.blocks == 1:
            self._min_separate = settings.packed_multiply_adds / lstm.recurrent.left[0].numel()
            if lstm.input.rank is not None and lstm.recurrent.rank is not None:
                self._min_joint = max(settings.joint_sequences, self._min_separate)

    def __call__(self, inputs: Tensor, batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        """Run the recurrence, see `Runtime`."""
        with full_precision():
            return self._run(inputs, batch_sizes, state)

    @property
    def stacks(self) -> bool:
        """Whether steps of few sequences run in the layout `stacked`, which multiplies the parameters themselves."""
        return self._min_separate > 1

    def layout(self, sequences: int) -> PackedLayout:
        """Return the layout in which a step of so many sequences runs."""
        if sequences < self._min_separate:
            return "stacked"
        return "separate" if sequences < self._min_joint else "joint"

    def _run(self, inputs: Tensor, batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        outputs, ended = [], []
        for layout, group in groupby(batch_sizes, self.layout):
            sizes = list(group)
            tokens, (h, c) = sum(sizes), state
            ended.append((h[:, sizes[0] :], c[:, sizes[0] :]))
            state = h[:, : sizes[0]], c[:, : sizes[0]]
            if layout == "stacked":
                output, state = self.lstm.run(self._input_parts(inputs[:, :tokens], sizes), sizes, state)
            else:
                output, state = self._run_directions(inputs[:, :tokens], sizes, state, layout == "joint")
            outputs.append(output)
            inputs = inputs[:, tokens:]
        ended.append(state)
        return torch.cat(outputs, dim=1), join_final_states(ended)

    def _run_directions(
        self, inputs: Tensor, batch_sizes: list[int], state: State, joint: bool
    ) -> tuple[Tensor, State]:
        runs = [
            direction(inputs[index], batch_sizes, state[0][index], state[1][index], joint)
            for index, direction in enumerate(self.directions)
        ]
        outputs, h, c = (torch.stack(part) for part in zip(*runs, strict=True))
        return outputs, (h, c)

    def _input_parts(self, inputs: Tensor, batch_sizes: list[int]) -> Iterator[Tensor]:
        for tokens, sizes in split_steps(batch_sizes, self.settings.tokens_at_once(self.lstm.bias)):
            parts = [
                direction.input_part(rows[tokens]) for rows, direction in zip(inputs, self.directions, strict=True)
            ]
            yield from torch.split(torch.stack(parts).float(), sizes, dim=1)


class PackedDirection:
    """One direction of a layer. Each packed copy is made when it is first used.

    Args:
        lstm: Parameters and formula of the layer.
        index: Which of its directions.
        precision: Precision of the weights; `int8` for large dense matrices of the gates, with all others in bfloat16.
        settings: Thresholds.
    """

    def __init__(self, lstm: LstmFormula, index: int, precision: Precision, settings: RuntimeSettings) -> None:
        self.lstm, self.index, self.precision, self.settings = lstm, index, precision, settings
        self.dtype = unquantized(precision)
        self._rights: dict[Target, Tensor] = {}

    def __call__(
        self, inputs: Tensor, batch_sizes: list[int], h: Tensor, c: Tensor, joint: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run over packed sequences.

        Args:
            inputs: (tokens, d).
            batch_sizes: Number of sequences still running at each step, never rising.
            h: Starting states (sequences, p).
            c: Starting memory cells (sequences, n).
            joint: Whether in the layout `joint`; else `separate`.

        Returns:
            The states of all steps (tokens, p), and each sequence's last `h` and `c`.
        """
        n, cell_clip, proj_clip = self.lstm.cell_size, self.lstm.cell_clip, self.lstm.proj_clip
        outputs, ended = [], []
        steps, gates = (self._factored_inputs, self._joint_gates) if joint else (self._input_parts, self._gates)
        for size, step in zip(batch_sizes, steps(inputs, batch_sizes), strict=True):
            if size < len(h):
                ended.append((h[size:], c[size:]))
                h, c = h[:size], c[:size]
            ifo, g = gates(h.to(self.dtype), step)
            c = _clip_(torch.mul(ifo[:, n : 2 * n], c).addcmul_(ifo[:, :n], g), cell_clip)
            gated = tanh(c, self.settings.onednn_tanh_numbers).mul_(ifo[:, 2 * n :])
            h = _clip_(self._project(gated), proj_clip)
            outputs.append(h)
        ended.append((h, c))
        last_h, last_c = zip(*reversed(ended), strict=True)
        return torch.cat(outputs), torch.cat(last_h), torch.cat(last_c)

    def _input_parts(self, inputs: Tensor, batch_sizes: list[int]) -> Iterator[Tensor]:
        """Each step's input product with the bias, (sequences, 4n)."""
        for tokens, sizes in split_steps(batch_sizes, self.settings.tokens_at_once(self.lstm.bias)):
            yield from torch.split(self.input_part(inputs[tokens]), sizes)

    def _gates(self, h: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Return the three sigmoid gates i, f, o (sequences, 3n), and g (sequences, n)."""
        if self.lstm.recurrent.right is not None:
            h = torch.mm(h, self.right("recurrent"))
        gates = self._recurrent.plus(h, step)
        n = self.lstm.cell_size
        return gates[:, : 3 * n].sigmoid_(), gates[:, 3 * n :].tanh_()

    def _factored_inputs(self, inputs: Tensor, batch_sizes: list[int]) -> Iterator[Tensor]:
        """Yield each step's x R_x, with room for h R_h behind it, (sequences, r_x + r_h)."""
        right = self.right("input")
        rank = right.shape[1]
        factored = torch.empty(len(inputs), rank + self.right("recurrent").shape[1], dtype=self.dtype)
        torch.mm(inputs.to(self.dtype), right, out=factored[:, :rank])
        yield from torch.split(factored, batch_sizes)

    def _joint_gates(self, h: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gates in the form of `_gates`, from one product of both inputs."""
        right = self.right("recurrent")
        torch.mm(h, right, out=step[:, -right.shape[1] :])
        sigmoids, tanhs = self._joint
        return sigmoids(step, "sigmoid"), tanhs(step, "tanh")

    def _project(self, gated: Tensor) -> Tensor:
        if self.lstm.projection is None:
            return gated
        projected = self._projection(gated.to(self.dtype))
        if self.lstm.projection.right is not None:
            projected = torch.mm(projected, self._projection_left)
        return projected.float()

    def input_part(self, inputs: Tensor) -> Tensor:
        """Compute `LstmFormula.input_part` for one direction.

        Args:
            inputs: (rows, d), float32.

        Returns:
            (rows, 4n), or (rows, r) of a shared left factor; bfloat16 if the weights are, else float32.
        """
        inputs = inputs.to(self.dtype)
        if self.lstm.input.right is not None:
            inputs = torch.mm(inputs, self.right("input"))
        if self.lstm.input.blocks == 1:
            return self._input(inputs)
        parts = zip(inputs.chunk(GATES, dim=1), self._input_blocks, strict=True)
        return torch.cat([product(part) for part, product in parts], dim=1)

    def right(self, target: Target) -> Tensor:
        """Return a right factor of the gates, (in, r)."""
        if target not in self._rights:
            linear = self.lstm.input if target == "input" else self.lstm.recurrent
            self._rights[target] = linear.numbers("right", self.index).to(self.dtype)
        return self._rights[target]

    def numbers(self, target: Target, part: Part) -> Tensor:
        """Return a factor (in, out) as it is multiplied, in float32.

        Args:
            target: Which matrix.
            part: Which of its factors; a dense matrix is a left one.
        """
        if target == "projection":
            assert self.lstm.projection is not None
            inner = self.lstm.projection.right is not None and part == "left"
            return self._projection_left.float() if inner else self._projection.numbers().T
        if part == "right":
            return self.right(target).float()
        if target == "recurrent":
            return self._recurrent.numbers().T
        products = [self._input] if self.lstm.input.blocks == 1 else self._input_blocks
        return torch.cat([product.numbers() for product in products]).T

    def quantizes(self, linear: StackedLinear) -> bool:
        """Return whether a matrix of the gates is kept as integers."""
        dense = linear.right is None and not self.lstm.shared
        return self.precision == "int8" and dense and linear.left[0].numel() >= self.settings.quantized_numbers

    @cached_property
    def _input(self) -> Product:
        return self._packed(self.lstm.input, None if self.lstm.shared else self._bias)

    @cached_property
    def _input_blocks(self) -> list[Product]:
        """Each gate's own left factor."""
        lefts = self._left(self.lstm.input).chunk(GATES)
        return [
            PackedLinear(left.to(self.dtype), bias) for left, bias in zip(lefts, self._bias.chunk(GATES), strict=True)
        ]

    @cached_property
    def _recurrent(self) -> Product:
        return self._packed(self.lstm.recurrent, None)

    @cached_property
    def _joint(self) -> tuple[PackedLinear, PackedLinear]:
        """The left factors of input and recurrent side by side: rows of i, f, o, and rows of g."""
        left = torch.cat([self._left(self.lstm.input), self._left(self.lstm.recurrent)], dim=1)
        rows = 3 * self.lstm.cell_size
        return (
            PackedLinear(left[:rows].to(self.dtype), self._bias[:rows]),
            PackedLinear(left[rows:].to(self.dtype), self._bias[rows:]),
        )

    @cached_property
    def _projection(self) -> Product:
        """The projection, or its right factor."""
        assert self.lstm.projection is not None
        first: Part = "left" if self.lstm.projection.right is None else "right"
        return PackedLinear(self.lstm.projection.numbers(first, self.index).T.to(self.dtype))

    @cached_property
    def _projection_left(self) -> Tensor:
        assert self.lstm.projection is not None
        return self.lstm.projection.numbers("left", self.index).to(self.dtype)

    def _packed(self, linear: StackedLinear, bias: Tensor | None) -> Product:
        """A dense matrix, or a left factor."""
        weight = self._left(linear)
        if self.quantizes(linear):
            return QuantizedLinear(weight, bias, self.dtype)
        return PackedLinear(weight.to(self.dtype), bias)

    @property
    def _bias(self) -> Tensor:
        return self.lstm.bias[self.index, 0].detach()

    def _left(self, linear: StackedLinear) -> Tensor:
        """This direction's dense matrix or left factor, outputs first."""
        return linear.numbers("left", self.index).T


def _clip_(values: Tensor, bound: float | None) -> Tensor:
    return values if bound is None else values.clamp_(-bound, bound)
