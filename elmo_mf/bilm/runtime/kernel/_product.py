"""The code of a block of a product: a few rows times a few columns, all of whose sums stay in registers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from llvmlite import ir

from elmo_mf.bilm.runtime.kernel._emitter import (
    INT,
    POINTER,
    Address,
    Emitter,
    Integer,
    Pairs,
    Rows,
    Variable,
    Vector,
    shared_function,
)
from elmo_mf.bilm.runtime.kernel.kernel_config import KernelConfig

W = TypeVar("W", Vector, Pairs)

_UNROLL = 4  # rows of a panel, or of bfloat16 pairs of rows, in one pass of the loop


@dataclass(frozen=True)
class Block:
    """Sizes and types that the code of a block depends on.

    Attributes:
        rows: Number of rows.
        vectors: Vectors in a row of the sums.
        panels: The vectors that are computed, panel by panel of the weight's group.
        blocks: Blocks of the inputs' rows; with several, each vector has its own numbers of a row.
    """

    rows: int
    vectors: int
    panels: tuple[range, ...]
    blocks: int = 1

    @property
    def computed(self) -> list[int]:
        """The vectors of all its panels."""
        return [vector for panel in self.panels for vector in panel]

    @property
    def name(self) -> str:
        """Name of its function."""
        panels = "_".join(f"{panel.start}to{panel.stop}" for panel in self.panels)
        return f"add_{self.rows}_{self.vectors}_{panels}_{self.blocks}"


def adder(module: ir.Module, config: KernelConfig, block: Block) -> ir.Function:
    """Return a function that adds a block of a product to sums.

    Its arguments are the address of the sums (rows, vectors), the address of the first row of the inputs, the distance
    to the next row in float32 numbers, the address of the weight's group, and the group's depth.

    Args:
        module: The module that gets the function.
        config: Configuration of the kernel.
        block: The block.
    """
    function, code = shared_function(module, config, block.name, [POINTER, POINTER, INT, POINTER, INT])
    if code is not None:
        _emit(code, config.bf16, block, *function.args)
        code.builder.ret_void()
    return function


def _emit(
    code: Emitter,
    bf16: bool,
    block: Block,
    sums: Address,
    rows: Address,
    distance: Integer,
    group: Address,
    depth: Integer,
) -> None:
    together = 2 if bf16 else 1
    matrix = Rows(rows, distance, bf16)
    bases = [
        [
            code.place(matrix, code.number(row), code.multiply(depth, code.number(number)))
            for number in range(block.blocks)
        ]
        for row in range(block.rows)
    ]
    panels = [
        code.at(group, code.multiply(depth, code.number(panel.start * code.lanes)), bf16) for panel in block.panels
    ]
    places = [
        [code.at(sums, code.number((row * block.vectors + vector) * code.lanes)) for vector in block.computed]
        for row in range(block.rows)
    ]
    values = [[code.variable(code.load(place)) for place in row] for row in places]
    with code.loop(depth, together * _UNROLL) as k:
        for offset in range(_UNROLL):
            _add_row(code, bf16, block, code.add(k, code.number(together * offset)), bases, panels, values)
    for row_places, row_values in zip(places, values, strict=True):
        for place, value in zip(row_places, row_values, strict=True):
            code.store(code.read(value), place)


def _add_row(
    code: Emitter,
    bf16: bool,
    block: Block,
    index: Integer,
    bases: list[list[Address]],
    panels: list[Address],
    values: list[list[Variable]],
) -> None:
    """Add to the variables what one row of the panels gives, or two rows of bfloat16."""

    def weight_places() -> Iterator[Address]:
        for panel, address in zip(block.panels, panels, strict=True):
            line = code.at(address, code.multiply(index, code.number(len(panel) * code.lanes)), bf16)
            for place in range(len(panel)):
                yield code.at(line, code.number(place * (2 if bf16 else 1) * code.lanes), bf16)

    def input_place(base: Address) -> Address:
        return code.at(base, index, bf16)

    if bf16:
        pairs = _Operations(code.load_pairs, code.load_splat_pair, code.multiply_add_pairs)
        _multiply_add(code, pairs, block, weight_places(), bases, input_place, values)
    else:
        numbers = _Operations(code.load, code.load_splat, code.multiply_add)
        _multiply_add(code, numbers, block, weight_places(), bases, input_place, values)


@dataclass(frozen=True)
class _Operations(Generic[W]):
    """Instructions that load and multiply weights of one type."""

    load: Callable[[Address], W]
    load_splat: Callable[[Address], W]
    multiply_add: Callable[[W, W, Vector], Vector]


def _multiply_add(
    code: Emitter,
    operations: _Operations[W],
    block: Block,
    weight_places: Iterator[Address],
    bases: list[list[Address]],
    input_place: Callable[[Address], Address],
    values: list[list[Variable]],
) -> None:
    weights = [operations.load(place) for place in weight_places]
    numbers = [
        vector % block.blocks for vector in block.computed
    ]  # of the inputs' block that a vector is multiplied with
    for base, row in zip(bases, values, strict=True):
        factors = {number: operations.load_splat(input_place(base[number])) for number in set(numbers)}
        for number, weight, value in zip(numbers, weights, row, strict=True):
            code.write(operations.multiply_add(factors[number], weight, code.read(value)), value)
