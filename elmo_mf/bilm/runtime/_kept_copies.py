"""Matrices of a layer whose only copies are those that a runtime on a CPU multiplies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from elmo_mf.bilm.lstm_formula import LstmFormula
from elmo_mf.bilm.runtime._machine_code import MachineCodeLstm
from elmo_mf.bilm.runtime._packed_lstm import PackedLstm
from elmo_mf.bilm.stacked_linear import Part, StackedLinear
from elmo_mf.bilm.weights import Target


class CpuRuntimes(NamedTuple):
    """The runtimes that have copies of a layer's matrices.

    Attributes:
        packed: PyTorch on packed weights.
        machine_code: The machine code, if there is any for the layer.
    """

    packed: PackedLstm
    machine_code: MachineCodeLstm | None

    def keep_only_copies(self, lstm: LstmFormula) -> None:
        """Free the parameters of a layer, except for those that are multiplied themselves.

        Args:
            lstm: The layer, with parameters.
        """
        for target, linear in self._copied(lstm):
            copies = _Copies(self, target)
            for direction in range(len(linear.left)):  # makes the copies, as long as there are parameters
                for part in _parts(linear):
                    copies.numbers(part, direction)
            linear.keep_only(copies)

    def _copied(self, lstm: LstmFormula) -> Iterator[tuple[Target, StackedLinear]]:
        yield "input", lstm.input
        if self.machine_code is not None or not self.packed.stacks:
            yield "recurrent", lstm.recurrent
            if lstm.projection is not None:
                yield "projection", lstm.projection


@dataclass(frozen=True)
class _Copies:
    """The copies of one target, see `Copies`."""

    runtimes: CpuRuntimes
    target: Target

    def numbers(self, part: Part, direction: int) -> Tensor:
        packed, machine_code = self.runtimes
        if machine_code is not None and machine_code.has_copies(self.target):
            return machine_code.numbers(self.target, part, direction)
        return packed.directions[direction].numbers(self.target, part)


def _parts(linear: StackedLinear) -> tuple[Part, ...]:
    return ("left",) if linear.right is None else ("right", "left")
