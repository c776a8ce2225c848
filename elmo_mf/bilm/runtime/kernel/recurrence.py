"""LLVM code of one direction's recurrence, over some of a batch's sequences.

A step goes through phases: h R_h; its product with L_h, the gates and the new memory cells; the projection's first
factor; its second, which gives the states. A phase without a factor is left out: a dense recurrent matrix takes h
itself, a dense projection gives h at once, and without a projection the gates do.

A product goes through its results in blocks, of as many rows and vectors as registers can hold (`KernelConfig.passes`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from llvmlite import ir

from elmo_mf.bilm.runtime.kernel.config import FIELDS, VECTORS, KernelConfig
from elmo_mf.bilm.runtime.kernel.emitter import INT, POINTER, Emitter, Rows
from elmo_mf.bilm.runtime.kernel.memory_cell import gated_cell, memory_cell
from elmo_mf.bilm.runtime.kernel.product import Block, adder


def emit(module: ir.Module, config: KernelConfig) -> ir.Function:
    """A function of a task's address."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "run")
    builder = ir.IRBuilder(function.append_basic_block())
    _Recurrence(Emitter(builder, config.lanes), config, function.args[0]).emit()
    builder.ret_void()
    return function


@dataclass(frozen=True)
class _Term:
    """Rows of `inputs` times a group of columns of a weight (depth, vectors): its panels, one after the other, at the
    address `group`. Of several blocks, each vector has its own `depth` numbers of a row."""

    inputs: Rows
    depth: int
    group: Any
    blocks: int = 1


class _Recurrence:
    """The code of one task. Matrices of sequences hold this task's alone."""

    def __init__(self, code: Emitter, config: KernelConfig, task: Any) -> None:
        self.code, self.config = code, config
        builder = code.builder
        kinds = {name: INT if name in ("steps", "first", "stride") else POINTER for name in FIELDS}
        self.fields = {
            name: builder.load(builder.gep(task, [code.number(index)], source_etype=INT), typ=kind)
            for index, (name, kind) in enumerate(kinds.items())
        }
        self.inputs_bf16 = config.bf16 and config.input_rank is not None
        self.h = self._every(self.fields["h"], config.p)
        self.c = self._every(self.fields["c"], config.c_width)
        widths = (config.right_width, config.n, config.cells_width, config.state_width)
        starts = [sum(widths[:index]) for index in range(len(widths))]
        self.right, self.cells, self.reduced, bf16_state = (
            Rows(code.at(self.fields["scratch"], code.number(start)), code.number(config.scratch_width), config.bf16)
            for start in starts
        )
        self.state = bf16_state if config.bf16 else self.h

    def _every(self, base: Any, width: int, bf16: bool = False) -> Rows:
        """This task's rows of a matrix of all sequences, `width` numbers each."""
        builder, code = self.code.builder, self.code
        first = code.at(base, builder.mul(self.fields["first"], code.number(width)), bf16)
        return Rows(first, builder.mul(self.fields["stride"], code.number(width // 2 if bf16 else width)), bf16)

    def emit(self) -> None:
        code, builder, config, fields = self.code, self.code.builder, self.config, self.fields
        if config.bf16:
            self._copy_to_bf16(self._rows_of(builder.load(fields["sizes"], typ=INT)))
        token = code.variable(code.number(0))
        with code.loop(fields["steps"]) as step:
            size = builder.load(builder.gep(fields["sizes"], [step], source_etype=INT), typ=INT)
            now = code.read(token, INT)
            width = config.token_width
            inputs = code.at(fields["inputs"], builder.mul(now, code.number(width)), self.inputs_bf16)
            outputs = code.at(fields["outputs"], builder.mul(now, code.number(config.p)))
            with builder.if_then(builder.icmp_signed(">", size, fields["first"])):
                self._step(
                    self._rows_of(size), self._every(inputs, width, self.inputs_bf16), self._every(outputs, config.p)
                )
            builder.store(builder.add(now, size), token)

    def _rows_of(self, size: Any) -> Any:
        """How many of the first `size` sequences are this task's."""
        builder, stride = self.code.builder, self.fields["stride"]
        beyond = builder.add(builder.sub(size, self.fields["first"]), builder.sub(stride, self.code.number(1)))
        return builder.sdiv(beyond, stride)

    def _copy_to_bf16(self, rows: Any) -> None:
        """Copy h in bfloat16."""
        code, config = self.code, self.config
        with code.loop(rows) as row, code.loop(code.number(config.p), config.lanes) as column:
            code.store(code.load(code.place(self.h, row, column)), code.place(self.state, row, column), bf16=True)

    def _step(self, rows: Any, inputs: Rows, outputs: Rows) -> None:
        code, config = self.code, self.config

        def new_state(row: Any, column: Any, value: Any) -> None:
            value = code.clipped(value, config.proj_clip)
            for place in {id(place): place for place in (self.h, self.state, outputs)}.values():
                code.store(value, code.place(place, row, column), place.bf16)

        state, depth = self.state, config.p
        if config.recurrent_rank is not None:
            start = inputs if config.shared else None
            self._product(rows, state, depth, "right", config.right_width, self._to(self.right), start)
            state, depth = self.right, config.block_width
        self._gates(rows, state, depth, inputs, self.cells if config.projected else outputs)
        if not config.projected:  # a dense recurrent matrix reads the old state until the last gate is done
            with code.loop(rows) as row, code.loop(code.number(config.n), config.lanes) as column:
                new_state(row, column, code.load(code.place(outputs, row, column)))
        elif config.projection_rank is None:
            self._product(rows, self.cells, config.n, "cells", config.p, new_state)
        else:
            self._product(rows, self.cells, config.n, "cells", config.cells_width, self._to(self.reduced))
            self._product(rows, self.reduced, config.cells_width, "states", config.p, new_state)

    def _to(self, place: Rows) -> Callable[[Any, Any, Any], None]:
        return lambda row, column, value: self.code.store(value, self.code.place(place, row, column), place.bf16)

    def _gates(self, rows: Any, state: Rows, depth: int, inputs: Rows, outputs: Rows) -> None:
        """Cell by cell: the gates' product on top of the input's part, and what the gates do."""
        code, builder, config, fields = self.code, self.code.builder, self.config, self.fields
        renew, give = memory_cell(builder.module, config), gated_cell(builder.module, config, outputs.bf16)
        with code.loop(code.number(config.n), config.lanes) as cell:
            columns = [builder.add(cell, code.number(gate * config.n)) for gate in range(VECTORS)]

            def panel(name: str, depth: int, cell: Any = cell) -> Any:
                return code.at(fields[name], builder.mul(cell, code.number(VECTORS * depth)), config.bf16)

            def block(places: list[Any], cell: Any = cell, columns: list[Any] = columns) -> None:
                def start(row: Any, gate: int) -> Any:
                    if config.input_rank is None and not config.shared:
                        return code.load(code.place(inputs, row, columns[gate]))
                    return code.load(code.at(fields["bias"], columns[gate]))

                terms = [_Term(state, depth, panel("gates", depth), config.blocks)]
                if config.input_rank is not None:
                    terms.insert(0, _Term(inputs, config.input_width, panel("input", config.input_width)))
                gates = self._sums(places, VECTORS, start, terms)[::VECTORS]
                memory = [code.place(self.c, row, cell) for row in places]
                for own in zip(gates, memory, strict=True):
                    builder.call(renew, own)
                for row, gate, c in zip(places, gates, memory, strict=True):
                    builder.call(give, [gate, c, code.place(outputs, row, cell)])

            code.in_blocks(rows, config.rows, block)

    def _product(
        self,
        rows: Any,
        inputs: Rows,
        depth: int,
        weight: str,
        width: int,
        store: Callable[[Any, Any, Any], None],
        start: Rows | None = None,
    ) -> None:
        """`inputs` (rows, depth) times a weight (depth, width), plus `start` where given; `store(row, column, vector)`
        gets the results."""
        code, builder, config, lanes = self.code, self.code.builder, self.config, self.config.lanes
        whole = width // (VECTORS * lanes) * VECTORS * lanes

        def panel(column: Any, vectors: int) -> None:
            address = code.at(self.fields[weight], builder.mul(column, code.number(depth)), self.config.bf16)

            def block(places: list[Any]) -> None:
                columns = [builder.add(column, code.number(vector * lanes)) for vector in range(vectors)]

                def first(row: Any, vector: int) -> Any:
                    return code.splat(0.0) if start is None else code.load(code.place(start, row, columns[vector]))

                sums = self._sums(places, vectors, first, [_Term(inputs, depth, address)])
                for sum_, (row, place) in zip(sums, product(places, columns), strict=True):
                    store(row, place, code.load(sum_))

            code.in_blocks(rows, config.rows, block)

        if whole:
            with code.loop(code.number(whole), VECTORS * lanes) as column:
                panel(column, VECTORS)
        if width > whole:
            panel(code.number(whole), (width - whole) // lanes)

    def _sums(self, rows: list[Any], vectors: int, start: Callable[[Any, int], Any], terms: list[_Term]) -> list[Any]:
        """The addresses of `start(row, vector)` plus the terms, row by row."""
        code, config = self.code, self.config
        sums = code.vectors(len(rows) * vectors)
        for place, (row, vector) in zip(sums, product(rows, range(vectors)), strict=True):
            code.store(start(row, vector), place)
        for panels in config.passes(len(rows), vectors):
            for term in terms:
                add = adder(code.builder.module, config, Block(len(rows), vectors, panels, term.blocks))
                first = code.place(term.inputs, rows[0], code.number(0))
                code.builder.call(add, [sums[0], first, term.inputs.distance, term.group, code.number(term.depth)])
        return sums
