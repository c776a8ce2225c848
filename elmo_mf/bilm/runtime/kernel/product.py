"""LLVM code of a block of a product: a few rows times a few columns, all of whose sums stay in registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from elmo_mf.bilm.runtime.kernel.config import KernelConfig
from elmo_mf.bilm.runtime.kernel.emitter import INT, POINTER, Emitter, Rows, shared_function

_UNROLL = 4  # rows of a panel, of bfloat16 pairs of rows, in one turn of the loop


@dataclass(frozen=True)
class Block:
    """What the code of a block depends on.

    Attributes:
        rows: how many.
        vectors: of a row of the sums.
        panels: those of the vectors that are computed, panel by panel of the weight's group.
        blocks: where there are several, each vector has its own numbers of a row of the inputs.
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
        """Of its function."""
        panels = "_".join(f"{panel.start}to{panel.stop}" for panel in self.panels)
        return f"add_{self.rows}_{self.vectors}_{panels}_{self.blocks}"


def adder(module: ir.Module, config: KernelConfig, block: Block) -> ir.Function:
    """A function that adds a product's block: of the address of the sums (rows, vectors), the first row's address, the
    distance to the next row in float32 numbers, the address of the weight's group, and its depth."""
    function, code = shared_function(module, config, block.name, [POINTER, POINTER, INT, POINTER, INT])
    if code is not None:
        _emit(code, config.bf16, block, *function.args)
        code.builder.ret_void()
    return function


def _emit(code: Emitter, bf16: bool, block: Block, sums: Any, rows: Any, distance: Any, group: Any, depth: Any) -> None:
    builder, lanes, together = code.builder, code.lanes, 2 if bf16 else 1
    matrix = Rows(rows, distance, bf16)
    bases = [
        [code.place(matrix, code.number(row), builder.mul(depth, code.number(own))) for own in range(block.blocks)]
        for row in range(block.rows)
    ]
    panels = [code.at(group, builder.mul(depth, code.number(panel.start * lanes)), bf16) for panel in block.panels]
    places = [
        [code.at(sums, code.number((row * block.vectors + vector) * lanes)) for vector in block.computed]
        for row in range(block.rows)
    ]
    values = [[code.variable(code.load(place)) for place in row] for row in places]
    with code.loop(depth, together * _UNROLL) as k:
        for offset in range(_UNROLL):
            _add_row(code, bf16, block, builder.add(k, code.number(together * offset)), bases, panels, values)
    for row, own in zip(places, values, strict=True):
        for place, value in zip(row, own, strict=True):
            code.store(code.read(value, code.vector), place)


def _add_row(
    code: Emitter,
    bf16: bool,
    block: Block,
    index: Any,
    bases: list[list[Any]],
    panels: list[Any],
    values: list[list[Any]],
) -> None:
    """To the variables, add what one row of the panels, or two of bfloat16, gives."""
    load, load_splat, multiply_add = (
        (code.load_pairs, code.load_splat_pair, code.multiply_add_pairs)
        if bf16
        else (code.load, code.load_splat, code.multiply_add)
    )
    weights = []
    for panel, address in zip(block.panels, panels, strict=True):
        line = code.at(address, code.builder.mul(index, code.number(len(panel) * code.lanes)), bf16)
        width = (2 if bf16 else 1) * code.lanes
        weights += [load(code.at(line, code.number(place * width), bf16)) for place in range(len(panel))]
    own = [vector % block.blocks for vector in block.computed]
    for base, row in zip(bases, values, strict=True):
        factors = {number: load_splat(code.at(base[number], index, bf16)) for number in set(own)}
        for number, weight, value in zip(own, weights, row, strict=True):
            total = multiply_add(factors[number], weight, code.read(value, code.vector))
            code.builder.store(total, value)
