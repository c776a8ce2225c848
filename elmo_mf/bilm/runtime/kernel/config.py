"""What the machine code of a recurrence depends on, and how its weights and its tasks lie in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

VECTORS = 4  # of a row in one group of a product's columns: the four gates of the same cells

# What a task is: addresses and numbers, each in 64 bits.
FIELDS = (
    "inputs",  # (tokens, token_width): the input's part of the gates, bias included; or x R_x
    "outputs",  # (tokens, p)
    "h",  # (sequences, p)
    "c",  # (sequences, c_width)
    "sizes",  # batch sizes, (steps,)
    "steps",
    "first",  # sequences first, first + stride, ... are this task's
    "stride",
    "scratch",  # (sequences of this task, scratch_width)
    "bias",  # (4n,)
    "input",  # weights, as `panels` gives them
    "right",
    "gates",
    "cells",
    "states",
)


@dataclass(frozen=True)
class KernelConfig:
    """The shape of a direction.

    Attributes:
        n: sizes of the memory cell and of the state, multiples of `lanes`.
        p: sizes of the memory cell and of the state, multiples of `lanes`.
        input_rank: None where the input's part of the gates is given, else it is computed from x R_x.
        recurrent_rank: None for a dense matrix.
        projection_rank: None for a dense matrix.
        blocks: of the recurrent factors: 4 where each gate has its own.
        shared: the input has the recurrent left factor, and is given as R_x x.
        projected: whether the state is a projection of the gated cell; else it is that cell, and p = n.
        cell_clip: bounds, None for none.
        proj_clip: bounds, None for none.
        lanes: float32 numbers in a vector.
        bf16: whether products are of bfloat16 numbers, summed in float32.
    """

    n: int
    p: int
    input_rank: int | None
    recurrent_rank: int | None
    projection_rank: int | None
    cell_clip: float | None
    proj_clip: float | None
    lanes: int
    bf16: bool = False
    blocks: int = 1
    shared: bool = False
    projected: bool = True

    @property
    def few_registers(self) -> bool:
        """Whether the processor has but 16 registers for vectors, as with AVX2 (NEON has 32 of bf16 the size)."""
        return self.lanes == 8

    @property
    def rows(self) -> int:
        """Rows of a product that are computed together."""
        return 6 if self.few_registers else 4

    @property
    def panel(self) -> int:
        """Vectors of so many rows that are computed together, so that registers are left for what is multiplied."""
        return 2 if self.few_registers else VECTORS

    def passes(self, rows: int, vectors: int) -> list[tuple[range, ...]]:
        """Which panels of a group are computed together: all where the rows are few."""
        panels = tuple(range(first, min(first + self.panel, vectors)) for first in range(0, vectors, self.panel))
        return [panels] if rows <= 2 else [(panel,) for panel in panels]

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, and of what is multiplied with them."""
        return torch.bfloat16 if self.bf16 else torch.float32

    def padded(self, columns: int) -> int:
        """To whole vectors."""
        return -(-columns // self.lanes) * self.lanes

    @cached_property
    def with_padded_ranks(self) -> KernelConfig:
        """With its ranks padded to whole vectors: the machine code is the same."""
        ranks = (self.input_rank, self.recurrent_rank, self.projection_rank)
        first, recurrent, projection = (None if rank is None else self.padded(rank) for rank in ranks)
        return replace(self, input_rank=first, recurrent_rank=recurrent, projection_rank=projection)

    @property
    def input_width(self) -> int:
        """Numbers a token in x R_x, 0 if that is not given."""
        return self.padded(self.input_rank or 0)

    @property
    def c_width(self) -> int:
        """Numbers between memory cells: not a power of two, lest sequences compete for the same lines of the cache."""
        return self.n + self.lanes

    @property
    def block_width(self) -> int:
        """Numbers a sequence in one block of h R_h, 0 if there is no R_h."""
        return self.padded(self.recurrent_rank or 0)

    @property
    def right_width(self) -> int:
        """Numbers a sequence in h R_h."""
        return self.blocks * self.block_width

    @property
    def token_width(self) -> int:
        """Numbers a token in what is given of the input."""
        return self.right_width if self.shared else self.input_width or 4 * self.n

    @property
    def cells_width(self) -> int:
        """Numbers a sequence in the projection's first product, 0 if there is but one."""
        return self.padded(self.projection_rank or 0)

    @property
    def state_width(self) -> int:
        """Numbers a sequence in a copy of h in bfloat16, 0 in float32."""
        return self.p if self.bf16 else 0

    @property
    def scratch_width(self) -> int:
        """Numbers a sequence of room for what passes between phases, float32 or bfloat16."""
        return self.right_width + self.n + self.cells_width + self.state_width

    def panels(self, weight: Tensor, depth: int) -> Tensor:
        """A weight (in, out) as a product reads it, padded with zeros to whole vectors and to `depth` rows: columns in
        panels of `panel` vectors, row after row; of bfloat16, two rows at a time, number by number."""
        padded = weight.new_zeros(depth, self.padded(weight.shape[1]), dtype=self.dtype)
        padded[: weight.shape[0], : weight.shape[1]] = weight
        rows = 2 if self.bf16 else 1
        pairs = padded.view(depth // rows, rows, -1).transpose(1, 2)
        return torch.cat([panel.flatten() for panel in torch.split(pairs, self.panel * self.lanes, dim=1)])

    def blockwise(self, values: Tensor) -> Tensor:
        """Columns (..., blocks * r) with each block padded, (..., right_width)."""
        assert self.recurrent_rank is not None
        padded = values.new_zeros(*values.shape[:-1], self.blocks, self.block_width)
        padded[..., : self.recurrent_rank] = values.reshape(*values.shape[:-1], self.blocks, -1)
        return padded.flatten(-2)

    def gate_panels(self, weight: Tensor, depth: int) -> Tensor:
        """A weight (in, 4n) of the gates, with the same cells' four gates beside each other."""
        columns = torch.arange(4 * self.n).view(4, -1, self.lanes).transpose(0, 1).flatten()
        return self.panels(weight[:, columns], depth)
