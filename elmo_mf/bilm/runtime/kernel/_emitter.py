"""Emits LLVM code: loops, vectors of float32, and rows of numbers in memory.

llvmlite has no type annotations. The types here are names that mypy keeps apart, so that an address cannot stand where
an integer is expected; at run time all are values of `llvmlite.ir`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NewType

from llvmlite import ir

from elmo_mf.bilm.runtime.kernel.kernel_config import KernelConfig

Integer = NewType("Integer", object)
"""An integer of 64 bits."""
Address = NewType("Address", object)
Vector = NewType("Vector", object)
"""`lanes` float32 numbers."""
Pairs = NewType("Pairs", object)
"""`2 * lanes` bfloat16 numbers: two for each lane."""
Condition = NewType("Condition", object)
Variable = NewType("Variable", object)
"""A place for a vector that changes; LLVM keeps it in a register."""


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
_WORD = 8  # bytes of a structure's field


@dataclass(frozen=True)
class Rows:
    """A matrix in memory.

    Attributes:
        base: Its address.
        distance: Distance between rows, in float32 numbers.
        bf16: Whether its numbers are bfloat16 instead of float32.
    """

    base: Address
    distance: Integer
    bf16: bool = False


class Emitter:
    """Appends code to a function.

    Args:
        builder: Where to append.
        lanes: float32 numbers in a vector.
    """

    def __init__(self, builder: ir.IRBuilder, lanes: int) -> None:
        self.builder, self.lanes = builder, lanes
        self.vector = ir.VectorType(FLOAT, lanes)
        self.int_vector = ir.VectorType(INT32, lanes)
        self.bf16_vector = ir.VectorType(BFLOAT16, lanes)
        self.pairs = ir.VectorType(BFLOAT16, 2 * lanes)

    @property
    def module(self) -> ir.Module:
        """The module of the function."""
        return self.builder.module

    # Integers

    def number(self, value: int) -> Integer:
        """Return an integer that is known now."""
        return Integer(ir.Constant(INT, value))

    def add(self, a: Integer, b: Integer) -> Integer:
        """Emit a + b."""
        return Integer(self.builder.add(a, b))

    def subtract(self, a: Integer, b: Integer) -> Integer:
        """Emit a - b."""
        return Integer(self.builder.sub(a, b))

    def multiply(self, a: Integer, b: Integer) -> Integer:
        """Emit the product of a and b."""
        return Integer(self.builder.mul(a, b))

    def divide(self, a: Integer, b: Integer) -> Integer:
        """Emit a / b, rounded towards zero."""
        return Integer(self.builder.sdiv(a, b))

    def compare(self, a: Integer, operator: Literal["<", ">", "=="], b: Integer) -> Condition:
        """Emit the comparison of two integers.

        Args:
            a: Left of the operator.
            operator: The operator.
            b: Right of it.
        """
        return Condition(self.builder.icmp_signed(operator, a, b))

    # Memory

    def at(self, base: Address, offset: Integer, bf16: bool = False) -> Address:
        """Emit the address of a number in an array.

        Args:
            base: Address of the array.
            offset: Index of the number.
            bf16: Whether the numbers are bfloat16 instead of float32. Defaults to False.
        """
        return Address(self.builder.gep(base, [offset], source_etype=BFLOAT16 if bf16 else FLOAT))

    def place(self, rows: Rows, row: Integer, column: Integer) -> Address:
        """Emit the address of a number in a matrix.

        Args:
            rows: The matrix.
            row: Index of its row.
            column: Index of its column.
        """
        start = self.at(rows.base, self.multiply(row, rows.distance))
        return self.at(start, column, rows.bf16)

    def element(self, base: Address, index: Integer) -> Address:
        """Emit the address of an integer in an array."""
        return Address(self.builder.gep(base, [index], source_etype=INT))

    def structure(self, base: Address, index: Integer, kind: type[ctypes.Structure]) -> Address:
        """Emit the address of a structure in an array.

        Args:
            base: Address of the array.
            index: Index of the structure.
            kind: Type of the structures, with fields of 8 bytes.
        """
        return self.element(base, self.multiply(index, self.number(ctypes.sizeof(kind) // _WORD)))

    def integer_field(self, base: Address, kind: type[ctypes.Structure], name: str) -> Integer:
        """Emit the load of a field of type `c_int64`.

        Args:
            base: Address of the structure.
            kind: Type of the structure.
            name: Name of the field.

        Raises:
            TypeError: The field has another type.
        """
        _check_field(kind, name, ctypes.c_int64)
        return self.load_integer(self.field(base, kind, name))

    def address_field(self, base: Address, kind: type[ctypes.Structure], name: str) -> Address:
        """Emit the load of a field of type `c_void_p`.

        Args:
            base: Address of the structure.
            kind: Type of the structure.
            name: Name of the field.

        Raises:
            TypeError: The field has another type.
        """
        _check_field(kind, name, ctypes.c_void_p)
        return Address(self.builder.load(self.field(base, kind, name), typ=POINTER))

    def field(self, base: Address, kind: type[ctypes.Structure], name: str) -> Address:
        """Emit the address of a structure's field.

        Args:
            base: Address of the structure.
            kind: Type of the structure.
            name: Name of the field.
        """
        return self.element(base, self.number(getattr(kind, name).offset // _WORD))

    def load_integer(self, address: Address) -> Integer:
        """Emit the load of an integer."""
        return Integer(self.builder.load(address, typ=INT))

    def load(self, address: Address, bf16: bool = False) -> Vector:
        """Emit the load of a vector, of bfloat16 numbers if `bf16`."""
        if bf16:
            numbers = self.builder.load(address, align=2, typ=self.bf16_vector)
            return Vector(self.builder.fpext(numbers, self.vector))
        return Vector(self.builder.load(address, align=4, typ=self.vector))

    def load_pairs(self, address: Address) -> Pairs:
        """Emit the load of bfloat16 numbers, two for each lane."""
        return Pairs(self.builder.load(address, align=4, typ=self.pairs))

    def store(self, vector: Vector, address: Address, bf16: bool = False) -> None:
        """Emit the store of a vector.

        Args:
            vector: The vector.
            address: Where to store it.
            bf16: Whether to round it to bfloat16. Defaults to False.
        """
        value = self.builder.fptrunc(vector, self.bf16_vector) if bf16 else vector
        self.builder.store(value, address, align=2 if bf16 else 4)

    def load_splat(self, address: Address) -> Vector:
        """Emit a vector of one float32 number in memory."""
        return Vector(self._load_splat(address, FLOAT))

    def load_splat_pair(self, address: Address) -> Pairs:
        """Emit a vector that repeats two neighbouring bfloat16 numbers in memory."""
        return Pairs(self.builder.bitcast(self._load_splat(address, INT32), self.pairs))

    def _load_splat(self, address: Address, kind: ir.Type) -> ir.Value:
        vector = ir.VectorType(kind, self.lanes)
        number = self.builder.load(address, align=4, typ=kind)
        first = self.builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(INT32, 0))
        return self.builder.shuffle_vector(first, first, ir.Constant(self.int_vector, [0] * self.lanes))

    # Vectors

    def splat(self, value: float) -> Vector:
        """Return a vector of one number that is known now."""
        return Vector(ir.Constant(self.vector, [value] * self.lanes))

    def sum(self, a: Vector, b: Vector) -> Vector:
        """Emit a + b."""
        return Vector(self.builder.fadd(a, b))

    def difference(self, a: Vector, b: Vector) -> Vector:
        """Emit a - b."""
        return Vector(self.builder.fsub(a, b))

    def product(self, a: Vector, b: Vector) -> Vector:
        """Emit the product of a and b, lane by lane."""
        return Vector(self.builder.fmul(a, b))

    def quotient(self, a: Vector, b: Vector) -> Vector:
        """Emit a / b."""
        return Vector(self.builder.fdiv(a, b))

    def negative(self, a: Vector) -> Vector:
        """Emit -a."""
        return Vector(self.builder.fneg(a))

    def multiply_add(self, a: Vector, b: Vector, c: Vector) -> Vector:
        """Emit a b + c.

        Args:
            a: A factor.
            b: The other factor.
            c: What is added to the product.
        """
        return self.intrinsic(f"llvm.fmuladd.v{self.lanes}f32", a, b, c)

    def multiply_add_pairs(self, a: Pairs, b: Pairs, c: Vector) -> Vector:
        """Emit, in each lane, the sum of both products of a and b, plus c.

        Args:
            a: Two factors for each lane.
            b: The other two.
            c: What is added to the products.
        """
        if self.lanes == 16:
            return self.intrinsic("llvm.x86.avx512bf16.dpbf16ps.512", c, a, b)
        halves = zip(*map(self._halves, (c, a, b)), strict=True)
        return self._joined(*(self.intrinsic("llvm.aarch64.neon.bfdot.v4f32.v8bf16", *half) for half in halves))

    def rounded(self, a: Vector) -> Vector:
        """Emit the nearest whole numbers."""
        return self.intrinsic(f"llvm.rint.v{self.lanes}f32", a)

    def power_of_two(self, exponent: Vector) -> Vector:
        """Emit 2 to the power of whole numbers from -126 to 127."""
        bits = self.builder.shl(
            self.builder.add(
                self.builder.fptosi(exponent, self.int_vector), ir.Constant(self.int_vector, [127] * self.lanes)
            ),
            ir.Constant(self.int_vector, [23] * self.lanes),
        )
        return Vector(self.builder.bitcast(bits, self.vector))

    def clipped(self, a: Vector, bound: float | None) -> Vector:
        """Emit `a` clipped to -bound and bound; NaN stays NaN."""
        if bound is None:
            return a
        builder, high, low = self.builder, self.splat(bound), self.splat(-bound)
        a = builder.select(builder.fcmp_ordered(">", a, high), high, a)
        return Vector(builder.select(builder.fcmp_ordered("<", a, low), low, a))

    def where_within(self, a: Vector, bound: float | None, value: Vector) -> Vector:
        """Emit `value` where -bound < a < bound, and 0 elsewhere.

        Args:
            a: What is compared with the bound.
            bound: The bound; None for none.
            value: What is kept within it.
        """
        if bound is None:
            return value
        builder, zero = self.builder, self.splat(0.0)
        value = builder.select(builder.fcmp_ordered(">=", a, self.splat(bound)), zero, value)
        return Vector(builder.select(builder.fcmp_ordered("<=", a, self.splat(-bound)), zero, value))

    def _halves(self, vector: ir.Value) -> list[ir.Value]:
        """Emit both halves of a vector, each one register of NEON."""
        half = vector.type.count // 2
        return [self.shuffled(vector, vector, range(start, start + half)) for start in (0, half)]

    def _joined(self, low: ir.Value, high: ir.Value) -> Vector:
        return Vector(self.shuffled(low, high, range(self.lanes)))

    def shuffled(self, a: ir.Value, b: ir.Value, places: Sequence[int]) -> ir.Value:
        """Emit the vector of some numbers of two vectors.

        Args:
            a: A vector.
            b: Another one, whose numbers are counted after those of `a`.
            places: Which numbers.
        """
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, len(places)), list(places)))

    def intrinsic(self, name: str, *arguments: ir.Value) -> Vector:
        """Emit the call of one of LLVM's functions, whose result has the type of the first argument.

        Args:
            name: Name of the function.
            *arguments: Its arguments.
        """
        if name not in self.module.globals:
            types = [argument.type for argument in arguments]
            ir.Function(self.module, ir.FunctionType(types[0], types), name)
        return Vector(self.builder.call(self.module.globals[name], arguments))

    # Variables

    def variable(self, value: Vector) -> Variable:
        """Emit a variable that starts with `value`."""
        return Variable(self._variable(value))

    def read(self, variable: Variable) -> Vector:
        """Emit the value of a variable."""
        return Vector(self.builder.load(variable, typ=self.vector))

    def write(self, value: Vector, variable: Variable) -> None:
        """Emit the assignment of a value to a variable."""
        self.builder.store(value, variable)

    def counter(self) -> Address:
        """Emit an integer that starts with 0, and return its address."""
        return Address(self._variable(self.number(0)))

    def store_integer(self, value: Integer, address: Address) -> None:
        """Emit the store of an integer."""
        self.builder.store(value, address)

    def _variable(self, value: ir.Value) -> ir.Value:
        with self.builder.goto_entry_block():
            place = self.builder.alloca(value.type)
        self.builder.store(value, place)
        return place

    def vector_slots(self, count: int) -> list[Address]:
        """Allocate `count` consecutive vectors on the stack, and return their addresses."""
        with self.builder.goto_entry_block():
            start = Address(self.builder.alloca(self.vector, count))
        return [self.at(start, self.number(index * self.lanes)) for index in range(count)]

    # Control flow

    def call(self, function: ir.Function, arguments: Sequence[Address | Integer]) -> None:
        """Emit the call of a function that returns nothing."""
        self.builder.call(function, arguments)

    @contextmanager
    def if_(self, condition: Condition) -> Iterator[None]:
        """Emit what the context emits, to run where a condition holds."""
        with self.builder.if_then(condition):
            yield

    @contextmanager
    def loop(self, stop: Integer, step: int = 1) -> Iterator[Integer]:
        """Emit what the context emits, to run for each of 0, step, 2 step, ... below `stop`."""
        builder = self.builder
        counter = self.counter()
        test, body, after = (builder.append_basic_block() for _ in range(3))
        builder.branch(test)
        builder.position_at_end(test)
        index = self.load_integer(counter)
        builder.cbranch(self.compare(index, "<", stop), body, after)
        builder.position_at_end(body)
        yield index
        self.store_integer(self.add(index, self.number(step)), counter)
        builder.branch(test)
        builder.position_at_end(after)

    def in_blocks(self, count: Integer, size: int, body: Callable[[list[Integer]], None]) -> None:
        """Emit a loop over the numbers from 0 to `count`, in blocks, with one smaller block for the rest.

        Args:
            count: How many numbers there are.
            size: Numbers of a block.
            body: Emits the code of a block, given its numbers.
        """
        builder = self.builder
        remainder = Integer(builder.urem(count, self.number(size)))
        whole = self.subtract(count, remainder)
        with self.loop(whole, size) as first:
            body([self.add(first, self.number(index)) for index in range(size)])
        for left in range(1, size):
            with self.if_(self.compare(remainder, "==", self.number(left))):
                body([self.add(whole, self.number(index)) for index in range(left)])


def _check_field(kind: type[ctypes.Structure], name: str, expected: type) -> None:
    fields = {field[0]: field[1] for field in kind._fields_}
    if fields.get(name) is not expected:
        raise TypeError(f"{kind.__name__}.{name}: found {fields.get(name)}, expected {expected.__name__}")


def shared_function(
    module: ir.Module, config: KernelConfig, name: str, arguments: list[ir.Type]
) -> tuple[ir.Function, Emitter | None]:
    """Return a function of the module, and an emitter of its body unless it has one already.

    It is inlined, except on processors with few registers, where it gets all of them to itself.

    Args:
        module: The module.
        config: Configuration of the kernel.
        name: Name of the function, which says all that its code depends on.
        arguments: Types of its arguments; it returns nothing.
    """
    if name in module.globals:
        return module.globals[name], None
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline" if config.few_registers else "alwaysinline")
    return function, Emitter(ir.IRBuilder(function.append_basic_block()), config.lanes)
