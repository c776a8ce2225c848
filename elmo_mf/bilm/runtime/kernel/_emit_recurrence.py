"""The code of a task: one direction's recurrence over some of a batch's sequences.

A step goes through phases: h R_h; its product with L_h, the gates and the new memory cells; the projection's right
factor; its left one, which gives the states. A phase without a factor is left out: a dense recurrent matrix is
multiplied with h itself, a dense projection gives h at once, and without a projection the gated cells are h.

A product goes through its results in blocks of as many rows and vectors as the registers can hold
(`KernelConfig.passes`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from llvmlite import ir

from elmo_mf.bilm.runtime.kernel._emitter import POINTER, Address, Emitter, Integer, Rows, Vector
from elmo_mf.bilm.runtime.kernel._memory_cell import gated_cell, memory_cell
from elmo_mf.bilm.runtime.kernel._product import Block, adder
from elmo_mf.bilm.runtime.kernel.kernel_config import VECTORS, KernelConfig
from elmo_mf.bilm.runtime.kernel.task import Task


def emit(module: ir.Module, config: KernelConfig) -> ir.Function:
    """Emit a function that runs the task at an address."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "run")
    builder = ir.IRBuilder(function.append_basic_block())
    code = Emitter(builder, config.lanes)
    _Recurrence(code, config, _TaskFields.load(code, function.args[0])).emit()
    builder.ret_void()
    return function


@dataclass(frozen=True)
class _TaskFields:
    """The values of a `Task`'s fields, in the emitted code."""

    inputs: Address
    outputs: Address
    h: Address
    c: Address
    batch_sizes: Address
    steps: Integer
    first: Integer
    stride: Integer
    scratch: Address
    bias: Address
    input_left: Address
    recurrent_right: Address
    recurrent: Address
    projection: Address
    projection_left: Address

    @classmethod
    def load(cls, code: Emitter, task: Address) -> _TaskFields:
        def address(name: str) -> Address:
            return code.address_field(task, Task, name)

        def integer(name: str) -> Integer:
            return code.integer_field(task, Task, name)

        return cls(
            inputs=address("inputs"),
            outputs=address("outputs"),
            h=address("h"),
            c=address("c"),
            batch_sizes=address("batch_sizes"),
            steps=integer("steps"),
            first=integer("first"),
            stride=integer("stride"),
            scratch=address("scratch"),
            bias=address("bias"),
            input_left=address("input_left"),
            recurrent_right=address("recurrent_right"),
            recurrent=address("recurrent"),
            projection=address("projection"),
            projection_left=address("projection_left"),
        )


@dataclass(frozen=True)
class _Term:
    """Rows of inputs times a group of columns of a weight.

    Attributes:
        inputs: (rows, depth), or (rows, blocks * depth).
        depth: Rows of the weight.
        group: Address of the weight's panels of these columns, one after the other.
        blocks: With several, each vector of the result has its own `depth` numbers of a row of the inputs.
    """

    inputs: Rows
    depth: int
    group: Address
    blocks: int = 1


class _Recurrence:
    """Emits one task. Matrices of sequences hold the task's sequences alone."""

    def __init__(self, code: Emitter, config: KernelConfig, task: _TaskFields) -> None:
        self.code, self.config, self.task = code, config, task
        self.inputs_bf16 = config.bf16 and config.input_rank is not None
        self.h = self._sequences(task.h, config.p)
        self.c = self._sequences(task.c, config.c_width)
        widths = (config.right_width, config.n, config.projection_width, config.state_width)
        starts = [sum(widths[:index]) for index in range(len(widths))]
        self.factored_h, self.gated, self.factored_gated, bf16_state = (
            Rows(code.at(task.scratch, code.number(start)), code.number(config.scratch_width), config.bf16)
            for start in starts
        )
        self.state = bf16_state if config.bf16 else self.h

    def _sequences(self, base: Address, width: int, bf16: bool = False) -> Rows:
        """The task's rows of a matrix of all sequences, with `width` numbers each."""
        code = self.code
        first = code.at(base, code.multiply(self.task.first, code.number(width)), bf16)
        return Rows(first, code.multiply(self.task.stride, code.number(width // 2 if bf16 else width)), bf16)

    def emit(self) -> None:
        code, config, task = self.code, self.config, self.task
        if config.bf16:
            self._copy_to_bf16(self._count(code.load_integer(task.batch_sizes)))
        token = code.counter()
        with code.loop(task.steps) as step:
            size = code.load_integer(code.element(task.batch_sizes, step))
            now = code.load_integer(token)
            width = config.token_width
            inputs = code.at(task.inputs, code.multiply(now, code.number(width)), self.inputs_bf16)
            outputs = code.at(task.outputs, code.multiply(now, code.number(config.p)))
            with code.if_(code.compare(size, ">", task.first)):
                self._step(
                    self._count(size),
                    self._sequences(inputs, width, self.inputs_bf16),
                    self._sequences(outputs, config.p),
                )
            code.store_integer(code.add(now, size), token)

    def _count(self, size: Integer) -> Integer:
        """Number of the batch's first `size` sequences that are this task's."""
        code, stride = self.code, self.task.stride
        beyond = code.add(code.subtract(size, self.task.first), code.subtract(stride, code.number(1)))
        return code.divide(beyond, stride)

    def _copy_to_bf16(self, rows: Integer) -> None:
        """Copy h into scratch."""
        code, config = self.code, self.config
        with code.loop(rows) as row, code.loop(code.number(config.p), config.lanes) as column:
            code.store(code.load(code.place(self.h, row, column)), code.place(self.state, row, column), bf16=True)

    def _step(self, rows: Integer, inputs: Rows, outputs: Rows) -> None:
        code, config, task = self.code, self.config, self.task

        def store_state(row: Integer, column: Integer, value: Vector) -> None:
            value = code.clipped(value, config.proj_clip)
            for place in {id(place): place for place in (self.h, self.state, outputs)}.values():
                code.store(value, code.place(place, row, column), place.bf16)

        state, depth = self.state, config.p
        if config.recurrent_rank is not None:
            start = inputs if config.shared else None
            self._product(
                rows, state, depth, task.recurrent_right, config.right_width, self._store_in(self.factored_h), start
            )
            state, depth = self.factored_h, config.block_width
        self._gates(rows, state, depth, inputs, self.gated if config.projected else outputs)
        if not config.projected:  # a dense recurrent matrix reads the old state until the last gate is done
            with code.loop(rows) as row, code.loop(code.number(config.n), config.lanes) as column:
                store_state(row, column, code.load(code.place(outputs, row, column)))
        elif config.projection_rank is None:
            self._product(rows, self.gated, config.n, task.projection, config.p, store_state)
        else:
            width, store = config.projection_width, self._store_in(self.factored_gated)
            self._product(rows, self.gated, config.n, task.projection, width, store)
            self._product(rows, self.factored_gated, width, task.projection_left, config.p, store_state)

    def _store_in(self, matrix: Rows) -> Callable[[Integer, Integer, Vector], None]:
        def store(row: Integer, column: Integer, value: Vector) -> None:
            self.code.store(value, self.code.place(matrix, row, column), matrix.bf16)

        return store

    def _gates(self, rows: Integer, state: Rows, depth: int, inputs: Rows, outputs: Rows) -> None:
        """Go through the memory cells: the gates' product on top of the input's part, and the gates' effect."""
        code, config, task = self.code, self.config, self.task
        update, gate_cells = memory_cell(code.module, config), gated_cell(code.module, config, outputs.bf16)
        with code.loop(code.number(config.n), config.lanes) as cell:
            columns = [code.add(cell, code.number(gate * config.n)) for gate in range(VECTORS)]

            def group(weight: Address, depth: int, cell: Integer = cell) -> Address:
                return code.at(weight, code.multiply(cell, code.number(VECTORS * depth)), config.bf16)

            def block(block_rows: list[Integer], cell: Integer = cell, columns: list[Integer] = columns) -> None:
                def start(row: Integer, gate: int) -> Vector:
                    if config.input_rank is None and not config.shared:
                        return code.load(code.place(inputs, row, columns[gate]))
                    return code.load(code.at(task.bias, columns[gate]))

                terms = [_Term(state, depth, group(task.recurrent, depth), config.blocks)]
                if config.input_rank is not None:
                    terms.insert(0, _Term(inputs, config.input_width, group(task.input_left, config.input_width)))
                gates = self._sums(block_rows, VECTORS, start, terms)[::VECTORS]
                memory = [code.place(self.c, row, cell) for row in block_rows]
                for gate, c in zip(gates, memory, strict=True):
                    code.call(update, [gate, c])
                for row, gate, c in zip(block_rows, gates, memory, strict=True):
                    code.call(gate_cells, [gate, c, code.place(outputs, row, cell)])

            code.in_blocks(rows, config.rows, block)

    def _product(
        self,
        rows: Integer,
        inputs: Rows,
        depth: int,
        weight: Address,
        width: int,
        store: Callable[[Integer, Integer, Vector], None],
        start: Rows | None = None,
    ) -> None:
        """Emit `inputs` (rows, depth) times a weight (depth, width), plus `start` (rows, width) if there is one.

        `store(row, column, vector)` is called for each vector of the result.
        """
        code, config, lanes = self.code, self.config, self.config.lanes
        whole = width // (VECTORS * lanes) * VECTORS * lanes

        def group(column: Integer, vectors: int) -> None:
            address = code.at(weight, code.multiply(column, code.number(depth)), config.bf16)

            def block(block_rows: list[Integer]) -> None:
                columns = [code.add(column, code.number(vector * lanes)) for vector in range(vectors)]

                def first(row: Integer, vector: int) -> Vector:
                    return code.splat(0.0) if start is None else code.load(code.place(start, row, columns[vector]))

                sums = self._sums(block_rows, vectors, first, [_Term(inputs, depth, address)])
                for place, (row, vector_column) in zip(sums, product(block_rows, columns), strict=True):
                    store(row, vector_column, code.load(place))

            code.in_blocks(rows, config.rows, block)

        if whole:
            with code.loop(code.number(whole), VECTORS * lanes) as column:
                group(column, VECTORS)
        if width > whole:
            group(code.number(whole), (width - whole) // lanes)

    def _sums(
        self, rows: list[Integer], vectors: int, start: Callable[[Integer, int], Vector], terms: list[_Term]
    ) -> list[Address]:
        """The addresses of `start(row, vector)` plus the terms, row by row."""
        code, config = self.code, self.config
        sums = code.vector_slots(len(rows) * vectors)
        for place, (row, vector) in zip(sums, product(rows, range(vectors)), strict=True):
            code.store(start(row, vector), place)
        for panels in config.passes(len(rows), vectors):
            for term in terms:
                add = adder(code.module, config, Block(len(rows), vectors, panels, term.blocks))
                first = code.place(term.inputs, rows[0], code.number(0))
                code.call(add, [sums[0], first, term.inputs.distance, term.group, code.number(term.depth)])
        return sums
