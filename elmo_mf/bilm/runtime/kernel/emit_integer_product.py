"""The code of an `IntegerTask`: a product of 8-bit integers, summed in 32 bits without rounding.

A register of NEON has four neighbouring inputs of each of four outputs, whose products one instruction adds to the four
sums. A block is a few rows times a group of outputs, all of whose sums stay in registers.
"""

from __future__ import annotations

from functools import cache
from typing import NewType

import torch
from llvmlite import ir
from torch import Tensor

from elmo_mf.bilm.runtime.kernel._emitter import INT32, POINTER, Address, Emitter, Integer, Variable
from elmo_mf.bilm.runtime.kernel._processor import features
from elmo_mf.bilm.runtime.kernel.compiled import Kernel
from elmo_mf.bilm.runtime.kernel.task import IntegerTask

QUAD = 4  # inputs that are multiplied at once; they take as much memory as one float32 number or sum
GROUP = 16  # outputs
_LANES = 4  # sums in a register
_ROWS = 4  # of a block

_Sums = NewType("_Sums", object)
"""`_LANES` integers of 32 bits."""
_Quads = NewType("_Quads", object)
"""Integers of 8 bits, `QUAD` for each lane."""
_SUMS = ir.VectorType(INT32, _LANES)
_QUADS = ir.VectorType(ir.IntType(8), QUAD * _LANES)


def groups_of(weight: Tensor) -> Tensor:
    """Lay out a weight as the code reads it.

    Args:
        weight: (out, in), int8.

    Returns:
        (groups, quads, `GROUP`, `QUAD`), padded with zeros.
    """
    outputs, inputs = weight.shape
    padded = weight.new_zeros(-(-outputs // GROUP), GROUP, -(-inputs // QUAD), QUAD)
    padded.view(padded.shape[0] * GROUP, -1)[:outputs, :inputs] = weight
    return padded.transpose(1, 2).contiguous()


def weight_of(groups: Tensor, outputs: int, inputs: int) -> Tensor:
    """Restore the weight (outputs, inputs) from its groups."""
    return groups.transpose(1, 2).reshape(len(groups) * GROUP, -1)[:outputs, :inputs]


def integer_kernel() -> Kernel:
    """Return the kernel, which computes products of all sizes."""
    return kernel_with("dotprod" in features())


@cache
def kernel_with(dot_product: bool) -> Kernel:
    """Return the kernel that uses ARM's instruction for dot products or, on any processor, does not."""
    return Kernel(lambda module: emit(module, dot_product), f"dot_product={dot_product}", IntegerTask, _LANES)


def emit(module: ir.Module, dot_product: bool) -> ir.Function:
    """Emit a function that runs the task at an address, with or without the instruction for dot products."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "run")
    builder = ir.IRBuilder(function.append_basic_block())
    _IntegerProduct(Emitter(builder, _LANES), Address(function.args[0]), dot_product).emit()
    builder.ret_void()
    return function


class _IntegerProduct:
    def __init__(self, code: Emitter, task: Address, dot_product: bool) -> None:
        self.code, self.builder, self.dot_product = code, code.builder, dot_product
        self.inputs, self.weight, self.sums = (
            code.address_field(task, IntegerTask, name) for name in ("inputs", "weight", "sums")
        )
        self.rows, self.groups, self.quads, self.width = (
            code.integer_field(task, IntegerTask, name) for name in ("rows", "groups", "quads", "width")
        )

    def emit(self) -> None:
        code = self.code
        with code.loop(self.groups) as group:
            start = code.multiply(group, code.number(GROUP))
            weight = code.at(self.weight, code.multiply(start, self.quads))

            def block(rows: list[Integer], start: Integer = start, weight: Address = weight) -> None:
                self._block(rows, weight, start)

            code.in_blocks(self.rows, _ROWS, block)

    def _block(self, rows: list[Integer], weight: Address, start: Integer) -> None:
        code = self.code
        zero = ir.Constant(_SUMS, [0] * _LANES)
        vectors = range(0, GROUP, _LANES)
        sums = [[Variable(code.variable(zero)) for _ in vectors] for _ in rows]
        inputs = [code.at(self.inputs, code.multiply(row, self.quads)) for row in rows]
        with code.loop(self.quads) as quad:
            line = code.at(weight, code.multiply(quad, code.number(GROUP)))
            weights = [self._load(code.at(line, code.number(vector))) for vector in vectors]
            for row_inputs, row_sums in zip(inputs, sums, strict=True):
                factors = self._load_splat(code.at(row_inputs, quad))
                for factor, total in zip(weights, row_sums, strict=True):
                    self.builder.store(self._add_products(factors, factor, self._read(total)), total)
        for row, row_sums in zip(rows, sums, strict=True):
            place = code.at(self.sums, code.add(code.multiply(row, self.width), start))
            for vector, total in zip(vectors, row_sums, strict=True):
                self.builder.store(self._read(total), code.at(place, code.number(vector)), align=4)

    def _load(self, address: Address) -> _Quads:
        return _Quads(self.builder.load(address, align=4, typ=_QUADS))

    def _load_splat(self, address: Address) -> _Quads:
        """Four neighbouring inputs, the same for each lane."""
        return _Quads(self.builder.bitcast(self.code.load_splat(address), _QUADS))

    def _read(self, variable: Variable) -> _Sums:
        return _Sums(self.builder.load(variable, typ=_SUMS))

    def _add_products(self, a: _Quads, b: _Quads, sums: _Sums) -> _Sums:
        if self.dot_product:
            return _Sums(self.code.intrinsic("llvm.aarch64.neon.sdot.v4i32.v16i8", sums, a, b))
        wide = ir.VectorType(INT32, QUAD * _LANES)
        values = self.builder.mul(self.builder.sext(a, wide), self.builder.sext(b, wide))
        for _ in range(2):  # neighbours
            even, odd = (self.code.shuffled(values, values, range(start, values.type.count, 2)) for start in (0, 1))
            values = self.builder.add(even, odd)
        return _Sums(self.builder.add(values, sums))


def multiply(inputs: Tensor, groups: Tensor, kernel: Kernel) -> Tensor:
    """Multiply integers.

    Args:
        inputs: (rows, in), int8.
        groups: Result of `groups_of`.
        kernel: What computes it.

    Returns:
        The sums (rows, outputs in whole groups), int32.
    """
    count, quads = groups.shape[:2]
    padded = torch.nn.functional.pad(inputs, (0, quads * QUAD - inputs.shape[1])).contiguous()
    sums = torch.empty(len(inputs), count * GROUP, dtype=torch.int32)
    each = -(-count // torch.get_num_threads())
    tasks = [
        IntegerTask(
            inputs=padded.data_ptr(),
            weight=groups[first].data_ptr(),
            sums=sums.data_ptr() + first * GROUP * sums.element_size(),
            rows=len(inputs),
            groups=min(each, count - first),
            quads=quads,
            width=sums.shape[1],
        )
        for first in range(0, count, each)
    ]
    kernel(tasks)
    return sums
