"""LLVM code of what becomes of a vector of memory cells in a step, once their gates are summed: the formulas of
`bilm/lstm.py`, each one fraction.

It is in two parts, the first of which is done for all rows of a block before the second: a processor has nothing to do
while it waits for one row's new memory cells, but for the other rows'.
"""

from __future__ import annotations

from llvmlite import ir

from elmo_mf.bilm.runtime.kernel.config import VECTORS, KernelConfig
from elmo_mf.bilm.runtime.kernel.emitter import POINTER, shared_function
from elmo_mf.bilm.runtime.kernel.sigmoid_tanh import sigmoid_denominator, tanh_fraction


def memory_cell(module: ir.Module, config: KernelConfig) -> ir.Function:
    """A function of two addresses: the sums of the gates i, f, o and g, a vector each, and the memory cells. It renews
    the cells, and leaves the denominator of the output gate in place of the first sum."""
    function, code = shared_function(module, config, "memory_cell", [POINTER, POINTER])
    if code is None:
        return function
    builder, (sums, memory) = code.builder, function.args
    i, f, o, g = (code.load(code.at(sums, code.number(gate * config.lanes))) for gate in range(VECTORS))
    i, f, o = (sigmoid_denominator(code, gate) for gate in (i, f, o))
    g, g_below = tanh_fraction(code, g)
    i = builder.fmul(i, g_below)
    above = code.multiply_add(code.load(memory), i, builder.fmul(g, f))
    code.store(code.clipped(builder.fdiv(above, builder.fmul(i, f)), config.cell_clip), memory)
    code.store(o, sums)
    builder.ret_void()
    return function


def gated_cell(module: ir.Module, config: KernelConfig, bf16: bool) -> ir.Function:
    """A function of three addresses: the denominator of the output gate, the memory cells, and where what goes to the
    projection is put, bfloat16 numbers if `bf16`."""
    function, code = shared_function(module, config, "gated_cell", [POINTER, POINTER, POINTER])
    if code is None:
        return function
    builder, (gate, memory, output) = code.builder, function.args
    above, below = tanh_fraction(code, code.load(memory))
    code.store(builder.fdiv(above, builder.fmul(below, code.load(gate))), output, bf16)
    builder.ret_void()
    return function
