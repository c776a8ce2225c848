"""Configuration of a recurrence's machine code, and the layout of its weights in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

VECTORS = 4  # of a row in one group of a product's columns: the four gates of the same memory cells


@dataclass(frozen=True)
class KernelConfig:
    """The shape of a direction.

    Attributes:
        n: Memory cells, a multiple of `lanes`.
        p: Numbers of the state, a multiple of `lanes`.
        input_rank: Rank of the input's factors if the code applies the left one to x R_x; None if the input's part of
            the gates is given.
        recurrent_rank: Rank of the recurrent factors; None for a dense matrix.
        projection_rank: Rank of the projection's factors; None for a dense matrix.
        cell_clip: Bound on the memory cells; None for no bound.
        proj_clip: Bound on the state; None for no bound.
        lanes: float32 numbers in a vector.
        bf16: Whether products are of bfloat16 numbers, summed in float32. Defaults to False.
        blocks: Blocks of the recurrent factors: 4 if each gate has its own. Defaults to 1.
        shared: Whether the input shares the recurrent left factor, and is given as R_x x. Defaults to False.
        projected: Whether the state is a projection of the gated cells; else it is these, and p = n. Defaults to True.
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
        """Whether the processor has 16 vector registers, as with AVX2 (NEON has 32 of half the size), instead of 32."""
        return self.lanes == 8

    @property
    def rows(self) -> int:
        """Rows of a product that are computed together."""
        return 6 if self.few_registers else 4

    @property
    def panel(self) -> int:
        """Number of vectors per block of rows, leaving registers for the operands."""
        return 2 if self.few_registers else VECTORS

    def passes(self, rows: int, vectors: int) -> list[tuple[range, ...]]:
        """Return which panels of a group are computed together: all if the rows are few.

        Args:
            rows: Number of rows.
            vectors: Number of vectors in the group.
        """
        panels = tuple(range(first, min(first + self.panel, vectors)) for first in range(0, vectors, self.panel))
        return [panels] if rows <= 2 else [(panel,) for panel in panels]

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights and of the values that they are multiplied by."""
        return torch.bfloat16 if self.bf16 else torch.float32

    def padded(self, columns: int) -> int:
        """Return the number of columns in whole vectors."""
        return -(-columns // self.lanes) * self.lanes

    @cached_property
    def with_padded_ranks(self) -> KernelConfig:
        """The configuration with ranks of whole vectors, which has the same machine code."""

        def padded(rank: int | None) -> int | None:
            return None if rank is None else self.padded(rank)

        return replace(
            self,
            input_rank=padded(self.input_rank),
            recurrent_rank=padded(self.recurrent_rank),
            projection_rank=padded(self.projection_rank),
        )

    @property
    def input_width(self) -> int:
        """Number of values per token in x R_x; 0 if the input is dense."""
        return self.padded(self.input_rank or 0)

    @property
    def c_width(self) -> int:
        """Distance between the memory cells of two sequences.

        It is not a power of two, so that sequences do not compete for the same lines of the cache.
        """
        return self.n + self.lanes

    @property
    def block_width(self) -> int:
        """Number of values per sequence in one block of h R_h; 0 if there is no R_h."""
        return self.padded(self.recurrent_rank or 0)

    @property
    def right_width(self) -> int:
        """Number of values per sequence in h R_h."""
        return self.blocks * self.block_width

    @property
    def token_width(self) -> int:
        """Number of input values per token."""
        return self.right_width if self.shared else self.input_width or 4 * self.n

    @property
    def projection_width(self) -> int:
        """Number of values per sequence in the product with the projection's right factor; 0 if there is none."""
        return self.padded(self.projection_rank or 0)

    @property
    def state_width(self) -> int:
        """Number of values per sequence in a copy of h in bfloat16; 0 in float32."""
        return self.p if self.bf16 else 0

    @property
    def scratch_width(self) -> int:
        """Number of values per sequence in the scratch buffer for intermediate results, in float32 or bfloat16."""
        return self.right_width + self.n + self.projection_width + self.state_width

    def panels(self, weight: Tensor, depth: int) -> Tensor:
        """Lay out a weight as a product reads it.

        Columns lie in panels of `panel` vectors, row after row; in bfloat16 two rows at a time, number by number.

        Args:
            weight: (in, out).
            depth: Rows that it is padded to with zeros.

        Returns:
            All panels, flat; columns are padded with zeros to whole vectors.
        """
        padded = weight.new_zeros(depth, self.padded(weight.shape[1]), dtype=self.dtype)
        padded[: weight.shape[0], : weight.shape[1]] = weight
        rows = 2 if self.bf16 else 1
        pairs = padded.view(depth // rows, rows, -1).transpose(1, 2)
        return torch.cat([panel.flatten() for panel in torch.split(pairs, self.panel * self.lanes, dim=1)])

    def unpanelled(self, panels: Tensor, shape: tuple[int, int]) -> Tensor:
        """Restore a weight from its panels.

        Args:
            panels: Result of the method `panels`.
            shape: Shape of the weight, (in, out).
        """
        rows, width = 2 if self.bf16 else 1, self.padded(shape[1])
        depth = panels.numel() // width
        widths = [panel.numel() for panel in torch.split(torch.arange(width), self.panel * self.lanes)]
        parts = torch.split(panels, [depth * columns for columns in widths])
        pairs = torch.cat([part.view(depth // rows, -1, rows) for part in parts], dim=1)
        return pairs.transpose(1, 2).reshape(depth, width)[: shape[0], : shape[1]]

    def blockwise(self, values: Tensor) -> Tensor:
        """Pad each block of columns (..., blocks * r), giving (..., right_width)."""
        assert self.recurrent_rank is not None
        padded = values.new_zeros(*values.shape[:-1], self.blocks, self.block_width)
        padded[..., : self.recurrent_rank] = values.reshape(*values.shape[:-1], self.blocks, -1)
        return padded.flatten(-2)

    def unpadded(self, values: Tensor) -> Tensor:
        """Return the values (..., blocks * r) that `blockwise` has padded."""
        return values.reshape(*values.shape[:-1], self.blocks, -1)[..., : self.recurrent_rank].flatten(-2)

    def gate_panels(self, weight: Tensor, depth: int) -> Tensor:
        """Lay out a weight of the gates, with the four gates of the same memory cells next to each other.

        Args:
            weight: (in, 4n).
            depth: Rows that it is padded to with zeros.
        """
        return self.panels(weight[:, self._gate_columns], depth)

    def gates_of_panels(self, panels: Tensor, rows: int) -> Tensor:
        """Restore a weight of the gates from its panels.

        Args:
            panels: Result of `gate_panels`.
            rows: Number of rows of the weight.

        Returns:
            (rows, 4n).
        """
        weight = panels.new_empty(rows, 4 * self.n)
        weight[:, self._gate_columns] = self.unpanelled(panels, (rows, 4 * self.n))
        return weight

    @property
    def _gate_columns(self) -> Tensor:
        return torch.arange(4 * self.n).view(4, -1, self.lanes).transpose(0, 1).flatten()
