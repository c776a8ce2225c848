"""The memory cells of one step in training, and their gradients: in machine code if there is any, else in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from elmo_mf.bilm.runtime_settings import RuntimeSettings


class TrainingCells(Protocol):
    """Computes what `lstm_cell` does, from the sums of the gates i, f, o and g without their bias.

    Rows of all tensors (G, rows, width) follow each other without gaps, directions need not.
    """

    def forward(self, sums: Tensor, bias: Tensor, before: Tensor, after: Tensor, gated: Tensor) -> None:
        """Compute the memory cells.

        Args:
            sums: (G, rows, 4n).
            bias: (G, 1, 4n).
            before: Previous memory cells, (G, rows, n).
            after: Overwritten by the new ones.
            gated: Overwritten by the gated ones.
        """

    def backward(
        self,
        saved: tuple[Tensor, Tensor, Tensor, Tensor],
        of_gated: Tensor,
        of_cells: Tensor,
        of_sums: Tensor,
        of_bias: Tensor,
    ) -> None:
        """Compute the gradients.

        Args:
            saved: `sums`, `bias`, `before` and `after` from `forward`.
            of_gated: Gradients of the gated cells.
            of_cells: Those of the memory cells from the following steps; overwritten by those of the previous ones.
            of_sums: Overwritten by those of the sums.
            of_bias: Those of the bias are added to it.
        """


def training_cells(
    n: int, clip: float | None, sums: torch.dtype, cells: torch.dtype, settings: RuntimeSettings
) -> TrainingCells:
    """Return what computes memory cells fastest.

    Args:
        n: Number of memory cells.
        clip: Bound on their absolute values; None for no bound.
        sums: Type of the sums and of the gated cells.
        cells: Type of the memory cells and of the bias.
        settings: Whether machine code may be used.
    """
    if settings.may_compile() and cells == torch.float32 and sums in (torch.float32, torch.bfloat16):
        from elmo_mf.bilm.runtime.kernel import compiled

        lanes, bf16 = settings.machine_code_lanes or compiled.lanes(), sums == torch.bfloat16
        if lanes is not None and n % lanes == 0 and (not bf16 or compiled.has_bfloat16()):
            return _MachineCodeCells(n, clip, lanes, bf16, settings.openmp)
    return _PyTorchCells(clip)


@dataclass(frozen=True)
class _MachineCodeCells:
    n: int
    clip: float | None
    lanes: int
    bf16: bool
    openmp: bool

    def forward(self, sums: Tensor, bias: Tensor, before: Tensor, after: Tensor, gated: Tensor) -> None:
        self._run(False, sums=sums, bias=bias, before=before, after=after, gated=gated)

    def backward(
        self,
        saved: tuple[Tensor, Tensor, Tensor, Tensor],
        of_gated: Tensor,
        of_cells: Tensor,
        of_sums: Tensor,
        of_bias: Tensor,
    ) -> None:
        sums, bias, before, after = saved
        gradients = {"gated": of_gated, "of_cells": of_cells, "of_sums": of_sums, "of_bias": of_bias}
        self._run(True, sums=sums, bias=bias, before=before, after=after, **gradients)

    def _run(self, backward: bool, **tensors: Tensor) -> None:
        """Run a pass on tensors (G, ...), by the names of their fields in `CellTask`."""
        from elmo_mf.bilm.runtime.kernel.emit_training_cells import CellConfig, cell_kernel
        from elmo_mf.bilm.runtime.kernel.task import CellTask

        directions, rows, _ = tensors["before"].shape
        tasks = [
            CellTask(rows=rows, **{name: _address(tensor, direction) for name, tensor in tensors.items()})
            for direction in range(directions)
        ]
        cell_kernel(CellConfig(self.n, self.clip, self.lanes, self.bf16), backward)(tasks, self.openmp)


def _address(tensor: Tensor, direction: int) -> int:
    """Return where the numbers of a direction lie."""
    return tensor.data_ptr() + direction * tensor.stride(0) * tensor.element_size()


_OF_SIGMOID = torch.ops.aten.sigmoid_backward.grad_input
_OF_TANH = torch.ops.aten.tanh_backward.grad_input
_OF_CLIPPED = torch.ops.aten.hardtanh_backward.grad_input


@dataclass(frozen=True)
class _PyTorchCells:
    clip: float | None

    def forward(self, sums: Tensor, bias: Tensor, before: Tensor, after: Tensor, gated: Tensor) -> None:
        i, f, o, g = _activations(sums, bias).chunk(4, dim=2)
        torch.mul(f, before, out=after).addcmul_(i, g)
        if self.clip is not None:
            after.clamp_(-self.clip, self.clip)
        gated.copy_(after.tanh().mul_(o))

    def backward(
        self,
        saved: tuple[Tensor, Tensor, Tensor, Tensor],
        of_gated: Tensor,
        of_cells: Tensor,
        of_sums: Tensor,
        of_bias: Tensor,
    ) -> None:
        sums, bias, before, after = saved
        gates, of_gated, tanh = _activations(sums, bias), of_gated.to(after.dtype), after.tanh()
        i, f, o, g = gates.chunk(4, dim=2)
        of_tanh = o * of_gated
        of_cells += _OF_TANH(of_tanh, tanh, grad_input=of_tanh)
        if self.clip is not None:
            of_clipped(of_cells, after, self.clip)
        ifo = torch.cat([of_cells * g, of_cells * before, of_gated * tanh], dim=2)
        _OF_SIGMOID(ifo, gates[..., : ifo.shape[2]], grad_input=ifo)
        of_g = of_cells * i
        of_gates = torch.cat([ifo, _OF_TANH(of_g, g, grad_input=of_g)], dim=2)
        of_bias += of_gates.sum(dim=1, keepdim=True)
        of_sums.copy_(of_gates)
        of_cells *= f


def _activations(sums: Tensor, bias: Tensor) -> Tensor:
    gates = sums + bias  # in the type of the bias
    n = gates.shape[2] // 4
    gates[..., : 3 * n].sigmoid_()
    gates[..., 3 * n :].tanh_()
    return gates


def of_clipped(gradients: Tensor, clipped: Tensor, bound: float) -> None:
    """Replace gradients with respect to clipped values by those with respect to the values before, in place.

    Args:
        gradients: Gradients, overwritten; they become 0 where the value is at the bound.
        clipped: The clipped values, of the same shape.
        bound: Bound on their absolute values.
    """
    _OF_CLIPPED(gradients, clipped, -bound, bound, grad_input=gradients)
