"""LLVM code of what becomes of a vector of memory cells in a step, once their gates are summed."""

from __future__ import annotations

from llvmlite import ir

from elmo_mf.bilm.kernel.activations import sigmoid_denominator, tanh_fraction
from elmo_mf.bilm.kernel.code import POINTER, own_function
from elmo_mf.bilm.kernel.form import VECTORS, Form


def memory_cell(module: ir.Module, form: Form, half: bool) -> ir.Function:
    """A function of three addresses: the sums of the gates i, f, o and g, a vector each; the memory cells, which it
    renews; and where what goes to the projection is put, bfloat16 numbers if `half`.

    The formulas of `bilm/lstm.py`, each one fraction.
    """
    function, code = own_function(module, form.lanes, form.crowded, "memory_cell", [POINTER, POINTER, POINTER])
    if code is None:
        return function
    builder, (sums, memory, output) = code.builder, function.args
    i, f, o, g = (code.load(code.at(sums, code.number(gate * form.lanes))) for gate in range(VECTORS))
    i, f, o = (sigmoid_denominator(code, gate) for gate in (i, f, o))
    g, g_below = tanh_fraction(code, g)
    i = builder.fmul(i, g_below)
    above = code.multiply_add(code.load(memory), i, builder.fmul(g, f))
    c = code.clipped(builder.fdiv(above, builder.fmul(i, f)), form.cell_clip)
    code.store(c, memory)
    above, below = tanh_fraction(code, c)
    code.store(builder.fdiv(above, builder.fmul(below, o)), output, half)
    builder.ret_void()
    return function
