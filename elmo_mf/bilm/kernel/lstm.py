"""LLVM code of one direction's recurrence, over some of a batch's sequences.

A step goes through phases: h R_h; its product with L_h, the gates and the new memory cells; the projection's first
factor; its second, which gives the states. A phase without a factor is left out: a dense recurrent matrix takes h
itself, a dense projection gives h at once, and without a projection the gates do.

A product keeps the results of up to four rows by four vectors in registers while it runs through one panel of the
weight (`Form.panels`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from elmo_mf.bilm.kernel.activations import sigmoid_denominator, tanh_fraction
from elmo_mf.bilm.kernel.code import INT, POINTER, Code, Rows
from elmo_mf.bilm.kernel.form import FIELDS, ROWS, VECTORS, Form

_UNROLL = 4  # rows of a panel, of bfloat16 pairs of rows, in one turn of a product's loop


def emit(module: ir.Module, form: Form) -> ir.Function:
    """A function of a task's address."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "run")
    builder = ir.IRBuilder(function.append_basic_block())
    _Recurrence(Code(builder, form.lanes), form, function.args[0]).emit()
    builder.ret_void()
    return function


class _Recurrence:
    """The code of one task. Matrices of sequences hold this task's alone."""

    def __init__(self, code: Code, form: Form, task: Any) -> None:
        self.code, self.form = code, form
        builder = code.builder
        kinds = {name: INT if name in ("steps", "first", "stride") else POINTER for name in FIELDS}
        self.fields = {
            name: builder.load(builder.gep(task, [code.number(index)], source_etype=INT), typ=kind)
            for index, (name, kind) in enumerate(kinds.items())
        }
        self.inputs_half = form.half and form.input_rank is not None
        self.h = self._every(self.fields["h"], form.p)
        self.c = self._every(self.fields["c"], form.c_width)
        widths = (form.right_width, form.n, form.cells_width, form.state_width)
        starts = [sum(widths[:index]) for index in range(len(widths))]
        self.right, self.cells, self.reduced, halved = (
            Rows(code.at(self.fields["scratch"], code.number(start)), code.number(form.scratch_width), form.half)
            for start in starts
        )
        self.state = halved if form.half else self.h

    def _every(self, base: Any, width: int, half: bool = False) -> Rows:
        """This task's rows of a matrix of all sequences, `width` numbers each."""
        builder, code = self.code.builder, self.code
        first = code.at(base, builder.mul(self.fields["first"], code.number(width)), half)
        return Rows(first, builder.mul(self.fields["stride"], code.number(width // 2 if half else width)), half)

    def emit(self) -> None:
        code, builder, form, fields = self.code, self.code.builder, self.form, self.fields
        if form.half:
            self._halve(self._rows_of(builder.load(fields["sizes"], typ=INT)))
        token = code.variable(code.number(0))
        with code.loop(fields["steps"]) as step:
            size = builder.load(builder.gep(fields["sizes"], [step], source_etype=INT), typ=INT)
            now = code.read(token, INT)
            width = form.token_width
            inputs = code.at(fields["inputs"], builder.mul(now, code.number(width)), self.inputs_half)
            outputs = code.at(fields["outputs"], builder.mul(now, code.number(form.p)))
            with builder.if_then(builder.icmp_signed(">", size, fields["first"])):
                self._step(
                    self._rows_of(size), self._every(inputs, width, self.inputs_half), self._every(outputs, form.p)
                )
            builder.store(builder.add(now, size), token)

    def _rows_of(self, size: Any) -> Any:
        """How many of the first `size` sequences are this task's."""
        builder, stride = self.code.builder, self.fields["stride"]
        beyond = builder.add(builder.sub(size, self.fields["first"]), builder.sub(stride, self.code.number(1)))
        return builder.sdiv(beyond, stride)

    def _halve(self, rows: Any) -> None:
        """Copy h in bfloat16."""
        code, form = self.code, self.form
        with code.loop(rows) as row, code.loop(code.number(form.p), form.lanes) as column:
            code.store(code.load(code.place(self.h, row, column)), code.place(self.state, row, column), half=True)

    def _step(self, rows: Any, inputs: Rows, outputs: Rows) -> None:
        code, form = self.code, self.form

        def new_state(row: Any, column: Any, value: Any) -> None:
            value = code.clipped(value, form.proj_clip)
            for place in {id(place): place for place in (self.h, self.state, outputs)}.values():
                code.store(value, code.place(place, row, column), place.half)

        state, depth = self.state, form.p
        if form.recurrent_rank is not None:
            start = inputs if form.shared else None
            self._product(rows, state, depth, "right", form.right_width, self._to(self.right), start)
            state, depth = self.right, form.block_width
        self._gates(rows, state, depth, inputs, self.cells if form.projected else outputs)
        if not form.projected:  # a dense recurrent matrix reads the old state until the last gate is done
            with code.loop(rows) as row, code.loop(code.number(form.n), form.lanes) as column:
                new_state(row, column, code.load(code.place(outputs, row, column)))
        elif form.projection_rank is None:
            self._product(rows, self.cells, form.n, "cells", form.p, new_state)
        else:
            self._product(rows, self.cells, form.n, "cells", form.cells_width, self._to(self.reduced))
            self._product(rows, self.reduced, form.cells_width, "states", form.p, new_state)

    def _to(self, place: Rows) -> Callable[[Any, Any, Any], None]:
        return lambda row, column, value: self.code.store(value, self.code.place(place, row, column), place.half)

    def _gates(self, rows: Any, state: Rows, depth: int, inputs: Rows, outputs: Rows) -> None:
        """Cell by cell: the gates' product on top of the input's part, and what the gates do."""
        code, builder, form, fields = self.code, self.code.builder, self.form, self.fields
        with code.loop(code.number(form.n), form.lanes) as cell:
            columns = [builder.add(cell, code.number(gate * form.n)) for gate in range(VECTORS)]

            def panel(name: str, depth: int, cell: Any = cell) -> Any:
                return code.at(fields[name], builder.mul(cell, code.number(VECTORS * depth)), form.half)

            def block(places: list[Any], cell: Any = cell, columns: list[Any] = columns) -> None:
                if form.input_rank is None and not form.shared:
                    sums = [[code.load(code.place(inputs, row, column)) for column in columns] for row in places]
                else:
                    bias = [code.load(code.at(fields["bias"], column)) for column in columns]
                    sums = [bias] * len(places)
                if form.input_rank is not None:
                    sums = self._sums(sums, inputs, places, form.input_width, panel("input", form.input_width))
                sums = self._sums(sums, state, places, depth, panel("gates", depth), form.blocks)
                for row, gates in zip(places, sums, strict=True):
                    place = code.place(self.c, row, cell)
                    c, output = self._cell(gates, code.load(place))
                    code.store(c, place)
                    code.store(output, code.place(outputs, row, cell), outputs.half)

            code.in_blocks(rows, ROWS, block)

    def _cell(self, gates: list[Any], c: Any) -> tuple[Any, Any]:
        """The new memory cell, and what goes to the projection: the formulas of `bilm/lstm.py`, each one fraction."""
        code, builder = self.code, self.code.builder
        i, f, o = (sigmoid_denominator(code, gate) for gate in gates[:3])
        g, g_below = tanh_fraction(code, gates[3])
        i = builder.fmul(i, g_below)
        above = code.multiply_add(c, i, builder.fmul(g, f))
        c = code.clipped(builder.fdiv(above, builder.fmul(i, f)), self.form.cell_clip)
        above, below = tanh_fraction(code, c)
        return c, builder.fdiv(above, builder.fmul(below, o))

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
        code, builder, lanes = self.code, self.code.builder, self.form.lanes
        whole = width // (VECTORS * lanes) * VECTORS * lanes

        def panel(column: Any, vectors: int) -> None:
            address = code.at(self.fields[weight], builder.mul(column, code.number(depth)), self.form.half)

            def block(places: list[Any]) -> None:
                columns = [builder.add(column, code.number(vector * lanes)) for vector in range(vectors)]
                first = [
                    [code.splat(0.0) if start is None else code.load(code.place(start, row, c)) for c in columns]
                    for row in places
                ]
                for row, sums in zip(places, self._sums(first, inputs, places, depth, address), strict=True):
                    for place, value in zip(columns, sums, strict=True):
                        store(row, place, value)

            code.in_blocks(rows, ROWS, block)

        if whole:
            with code.loop(code.number(whole), VECTORS * lanes) as column:
                panel(column, VECTORS)
        if width > whole:
            panel(code.number(whole), (width - whole) // lanes)

    def _sums(
        self, start: list[list[Any]], inputs: Rows, rows: list[Any], depth: int, panel: Any, blocks: int = 1
    ) -> list[list[Any]]:
        """`start` (rows, vectors) plus the rows of `inputs` times a panel; of several blocks, each vector has its own
        `depth` numbers of a row."""
        code, builder, half = self.code, self.code.builder, self.form.half
        vectors, together = len(start[0]), 2 if half else 1
        load, load_splat, multiply_add = (
            (code.load_pairs, code.load_splat_pair, code.multiply_add_pairs)
            if half
            else (code.load, code.load_splat, code.multiply_add)
        )
        sums = [[code.variable(value) for value in row] for row in start]
        bases = [[code.place(inputs, row, code.number(block * depth)) for block in range(blocks)] for row in rows]
        with code.loop(code.number(depth), together * _UNROLL) as k:
            values = [[code.read(place, code.vector) for place in row] for row in sums]
            for offset in range(_UNROLL):
                index = builder.add(k, code.number(together * offset))
                line = code.at(panel, builder.mul(index, code.number(vectors * code.lanes)), half)
                weights = [load(code.at(line, code.number(v * together * code.lanes), half)) for v in range(vectors)]
                for row, own in enumerate(bases):
                    factors = [load_splat(code.at(base, index, half)) for base in own] * (1 if blocks > 1 else vectors)
                    values[row] = [multiply_add(factors[v], weights[v], values[row][v]) for v in range(vectors)]
            for row, _ in enumerate(rows):
                for value, place in zip(values[row], sums[row], strict=True):
                    builder.store(value, place)
        return [[code.read(place, code.vector) for place in row] for row in sums]
