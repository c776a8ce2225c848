"""What writing LLVM code takes here: loops, vectors of float32, and rows of numbers in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from elmo_mf.bilm.runtime.kernel.config import KernelConfig


class _Bfloat16(ir.Type):  # type: ignore[misc]
    def __str__(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bfloat16)

    def __hash__(self) -> int:
        return hash(_Bfloat16)


INT = ir.IntType(64)
INT32 = ir.IntType(32)
FLOAT = ir.FloatType()
BFLOAT16 = _Bfloat16()
POINTER = ir.PointerType()


@dataclass(frozen=True)
class Rows:
    """A matrix in memory.

    Attributes:
        base: its address.
        distance: between rows, in float32 numbers.
        bf16: whether its numbers are bfloat16, in place of float32.
    """

    base: Any
    distance: Any
    bf16: bool = False


class Emitter:
    """Appends to a function. Integers are 64 bits.

    Args:
        builder: where to append.
        lanes: float32 numbers in a vector.
    """

    def __init__(self, builder: ir.IRBuilder, lanes: int) -> None:
        self.builder, self.lanes = builder, lanes
        self.vector = ir.VectorType(FLOAT, lanes)
        self.int_vector = ir.VectorType(INT32, lanes)
        self.bf16_vector = ir.VectorType(BFLOAT16, lanes)
        self.pairs = ir.VectorType(BFLOAT16, 2 * lanes)

    def number(self, value: int) -> ir.Constant:
        return ir.Constant(INT, value)

    def splat(self, value: float) -> ir.Constant:
        """A vector of one number known now."""
        return ir.Constant(self.vector, [value] * self.lanes)

    def at(self, base: Any, offset: Any, bf16: bool = False) -> Any:
        """The address `offset` float32 or bfloat16 numbers from `base`."""
        return self.builder.gep(base, [offset], source_etype=BFLOAT16 if bf16 else FLOAT)

    def place(self, rows: Rows, row: Any, column: Any) -> Any:
        """The address of a number in a matrix."""
        start = self.at(rows.base, self.builder.mul(row, rows.distance))
        return self.at(start, column, rows.bf16)

    def load(self, address: Any) -> Any:
        return self.builder.load(address, align=4, typ=self.vector)

    def store(self, vector: Any, address: Any, bf16: bool = False) -> None:
        """Numbers of float32, rounded to bfloat16 if those are `bf16`."""
        value = self.builder.fptrunc(vector, self.bf16_vector) if bf16 else vector
        self.builder.store(value, address, align=2 if bf16 else 4)

    def load_splat(self, address: Any, of: Any = FLOAT) -> Any:
        """A vector of one number in memory, of 32 bits."""
        vector = ir.VectorType(of, self.lanes)
        number = self.builder.load(address, align=4, typ=of)
        first = self.builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(INT32, 0))
        return self.builder.shuffle_vector(first, first, ir.Constant(self.int_vector, [0] * self.lanes))

    def load_splat_pair(self, address: Any) -> Any:
        """A vector of two bfloat16 numbers in memory, again and again."""
        return self.builder.bitcast(self.load_splat(address, INT32), self.pairs)

    def load_pairs(self, address: Any) -> Any:
        return self.builder.load(address, align=4, typ=self.pairs)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a b + c."""
        return self._intrinsic(f"llvm.fmuladd.v{self.lanes}f32", a, b, c)

    def multiply_add_pairs(self, a: Any, b: Any, c: Any) -> Any:
        """The sum of each two neighbours' a b, plus c; a and b bfloat16, c float32."""
        return self._intrinsic("llvm.x86.avx512bf16.dpbf16ps.512", c, a, b)

    def rounded(self, a: Any) -> Any:
        """To the nearest whole numbers."""
        return self._intrinsic(f"llvm.rint.v{self.lanes}f32", a)

    def _intrinsic(self, name: str, *arguments: Any) -> Any:
        module = self.builder.module
        if name not in module.globals:
            ir.Function(module, ir.FunctionType(self.vector, [argument.type for argument in arguments]), name)
        return self.builder.call(module.globals[name], arguments)

    def clipped(self, a: Any, bound: float | None) -> Any:
        """Within -bound and bound; what is no number stays so."""
        if bound is None:
            return a
        builder, high, low = self.builder, self.splat(bound), self.splat(-bound)
        a = builder.select(builder.fcmp_ordered(">", a, high), high, a)
        return builder.select(builder.fcmp_ordered("<", a, low), low, a)

    def variable(self, value: Any) -> Any:
        """A place for a value that changes; LLVM keeps it in a register."""
        with self.builder.goto_entry_block():
            place = self.builder.alloca(value.type)
        self.builder.store(value, place)
        return place

    def vectors(self, count: int) -> list[Any]:
        """The addresses of room for so many vectors, one after the other."""
        with self.builder.goto_entry_block():
            room = self.builder.alloca(self.vector, count)
        return [self.at(room, self.number(index * self.lanes)) for index in range(count)]

    def read(self, variable: Any, of: Any) -> Any:
        return self.builder.load(variable, typ=of)

    @contextmanager
    def loop(self, stop: Any, step: int = 1) -> Iterator[Any]:
        """For each of 0, step, 2 step, ... below `stop`."""
        builder = self.builder
        counter = self.variable(self.number(0))
        test, body, after = (builder.append_basic_block() for _ in range(3))
        builder.branch(test)
        builder.position_at_end(test)
        index = self.read(counter, INT)
        builder.cbranch(builder.icmp_signed("<", index, stop), body, after)
        builder.position_at_end(body)
        yield index
        builder.store(builder.add(index, self.number(step)), counter)
        builder.branch(test)
        builder.position_at_end(after)

    def in_blocks(self, count: Any, size: int, body: Callable[[list[Any]], None]) -> None:
        """`body` with the numbers from 0 to `count`, `size` at a time, and the rest in one smaller block."""
        builder = self.builder
        rest = builder.urem(count, self.number(size))
        whole = builder.sub(count, rest)
        with self.loop(whole, size) as first:
            body([builder.add(first, self.number(index)) for index in range(size)])
        for left in range(1, size):
            with builder.if_then(builder.icmp_signed("==", rest, self.number(left))):
                body([builder.add(whole, self.number(index)) for index in range(left)])


def shared_function(
    module: ir.Module, config: KernelConfig, name: str, arguments: list[Any]
) -> tuple[ir.Function, Emitter | None]:
    """A function of the module, and an emitter of its body unless it has one already.

    It is inlined, except on processors with few registers, where it gets all of them to itself.
    """
    if name in module.globals:
        return module.globals[name], None
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline" if config.few_registers else "alwaysinline")
    return function, Emitter(ir.IRBuilder(function.append_basic_block()), config.lanes)
