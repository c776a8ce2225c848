"""The code of a `CellTask`: the memory cells of one step in training, and their gradients.

A row's gates are not stored. The backward pass computes them again from their sums, which takes less time than reading
them from memory would.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from llvmlite import ir

from elmo_mf.bilm.runtime.kernel._emitter import POINTER, Address, Emitter, Integer, Vector
from elmo_mf.bilm.runtime.kernel._sigmoid_tanh import sigmoid_denominator, tanh_fraction
from elmo_mf.bilm.runtime.kernel.compiled import Kernel
from elmo_mf.bilm.runtime.kernel.kernel_config import VECTORS
from elmo_mf.bilm.runtime.kernel.task import CellTask


@dataclass(frozen=True)
class CellConfig:
    """Sizes and types that the code depends on.

    Attributes:
        n: Memory cells, a multiple of `lanes`.
        clip: Bound on the memory cells; None for no bound.
        lanes: float32 numbers in a vector.
        bf16: Whether sums and gated cells, and their gradients, are bfloat16.
    """

    n: int
    clip: float | None
    lanes: int
    bf16: bool


@cache
def cell_kernel(config: CellConfig, backward: bool) -> Kernel:
    """Return the kernel of the forward or of the backward pass."""

    def emit(module: ir.Module) -> ir.Function:
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "run")
        builder = ir.IRBuilder(function.append_basic_block())
        cells = _Cells(Emitter(builder, config.lanes), config, Address(function.args[0]))
        cells.emit_backward() if backward else cells.emit_forward()
        builder.ret_void()
        return function

    return Kernel(emit, f"{config} backward={backward}", CellTask, config.lanes)


class _Cells:
    def __init__(self, code: Emitter, config: CellConfig, task: Address) -> None:
        self.code, self.config = code, config
        self.rows = code.integer_field(task, CellTask, "rows")
        names = [name for name, *_ in CellTask._fields_ if name != "rows"]
        self.fields = {name: code.address_field(task, CellTask, name) for name in names}

    def emit_forward(self) -> None:
        code, config = self.code, self.config
        with code.loop(self.rows) as row, code.loop(code.number(config.n), config.lanes) as column:
            sums = [self._sum(row, column, gate) for gate in range(VECTORS)]
            i, f, o = (sigmoid_denominator(code, one) for one in sums[:3])
            g, g_denominator = tanh_fraction(code, sums[3])
            i = code.product(i, g_denominator)
            before = code.load(self._cell("before", row, column))
            numerator = code.multiply_add(before, i, code.product(g, f))
            after = code.clipped(code.quotient(numerator, code.product(i, f)), config.clip)
            code.store(after, self._cell("after", row, column))
            tanh, denominator = tanh_fraction(code, after)
            gated = code.quotient(tanh, code.product(denominator, o))
            code.store(gated, self._cell("gated", row, column, config.bf16), config.bf16)

    def emit_backward(self) -> None:
        code, config = self.code, self.config
        with code.loop(self.rows) as row, code.loop(code.number(config.n), config.lanes) as column:
            for gate, gradient in enumerate(self._gradients(row, column)):
                code.store(gradient, self._gate("of_sums", row, column, gate), config.bf16)
                place = self._of_gate("of_bias", column, gate)
                code.store(code.sum(code.load(place), gradient), place)

    def _gradients(self, row: Integer, column: Integer) -> list[Vector]:
        """The gradients of the sums of i, f, o and g; those of the previous memory cells are stored."""
        code, config = self.code, self.config
        sums = [self._sum(row, column, gate) for gate in range(VECTORS)]
        before, after = (code.load(self._cell(name, row, column)) for name in ("before", "after"))
        i, f, g = self._input_side(sums[0], sums[1], sums[3])
        o, tanh = self._output_side(sums[2], after)
        of_gated = code.load(self._cell("gated", row, column, config.bf16), config.bf16)
        place = self._cell("of_cells", row, column)
        of_cell = code.multiply_add(code.product(of_gated, o), self._of_tanh(tanh), code.load(place))
        of_cell = code.where_within(after, config.clip, of_cell)
        code.store(code.product(of_cell, f), place)
        of_i, of_f = code.product(of_cell, g), code.product(of_cell, before)
        of_o, of_g = code.product(of_gated, tanh), code.product(of_cell, i)
        pairs = ((of_i, i), (of_f, f), (of_o, o))
        return [*(code.product(of, self._of_sigmoid(gate)) for of, gate in pairs), code.product(of_g, self._of_tanh(g))]

    def _input_side(self, i: Vector, f: Vector, g: Vector) -> tuple[Vector, Vector, Vector]:
        """sigmoid(i), sigmoid(f) and tanh(g) with one division, which takes as long as a dozen products."""
        code = self.code
        i, f = sigmoid_denominator(code, i), sigmoid_denominator(code, f)
        numerator, g = tanh_fraction(code, g)
        both = code.product(i, f)
        inverse = code.quotient(code.splat(1.0), code.product(both, g))
        with_g = code.product(inverse, g)
        return code.product(f, with_g), code.product(i, with_g), code.product(numerator, code.product(both, inverse))

    def _output_side(self, o: Vector, cell: Vector) -> tuple[Vector, Vector]:
        """sigmoid(o) and tanh of the memory cell with one division."""
        code = self.code
        o = sigmoid_denominator(code, o)
        numerator, denominator = tanh_fraction(code, cell)
        inverse = code.quotient(code.splat(1.0), code.product(o, denominator))
        return code.product(denominator, inverse), code.product(numerator, code.product(o, inverse))

    def _of_sigmoid(self, gate: Vector) -> Vector:
        return self.code.product(gate, self.code.difference(self.code.splat(1.0), gate))

    def _of_tanh(self, tanh: Vector) -> Vector:
        code = self.code
        return code.multiply_add(code.negative(tanh), tanh, code.splat(1.0))

    def _sum(self, row: Integer, column: Integer, gate: int) -> Vector:
        code, bf16 = self.code, self.config.bf16
        bias = code.load(self._of_gate("bias", column, gate))
        return code.sum(code.load(self._gate("sums", row, column, gate), bf16), bias)

    def _of_gate(self, name: str, column: Integer, gate: int) -> Address:
        code = self.code
        return code.at(self.fields[name], code.add(column, code.number(gate * self.config.n)))

    def _gate(self, name: str, row: Integer, column: Integer, gate: int) -> Address:
        code, n = self.code, self.config.n
        start = code.add(code.multiply(row, code.number(VECTORS * n)), code.number(gate * n))
        return code.at(self.fields[name], code.add(start, column), self.config.bf16)

    def _cell(self, name: str, row: Integer, column: Integer, bf16: bool = False) -> Address:
        code = self.code
        return code.at(self.fields[name], code.add(code.multiply(row, code.number(self.config.n)), column), bf16)
