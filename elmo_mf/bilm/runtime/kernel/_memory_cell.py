"""The code from the sums of the gates to the gated memory cells: the formulas of `_lstm_cell.py`, each one fraction.

It is in two functions, and the first runs for all rows of a block before the second: while the processor waits for one
row's new memory cells, it can work on the other rows.
"""

from __future__ import annotations

from llvmlite import ir

from elmo_mf.bilm.runtime.kernel._emitter import POINTER, shared_function
from elmo_mf.bilm.runtime.kernel._sigmoid_tanh import sigmoid_denominator, tanh_fraction
from elmo_mf.bilm.runtime.kernel.kernel_config import VECTORS, KernelConfig


def memory_cell(module: ir.Module, config: KernelConfig) -> ir.Function:
    """Return a function that computes new memory cells.

    Its arguments are two addresses: of the sums of the gates i, f, o and g, a vector each, and of the memory cells,
    which it overwrites. It leaves the denominator of the output gate in place of the first sum.
    """
    function, code = shared_function(module, config, "memory_cell", [POINTER, POINTER])
    if code is None:
        return function
    sums, memory = function.args
    i, f, o, g = (code.load(code.at(sums, code.number(gate * config.lanes))) for gate in range(VECTORS))
    i, f, o = (sigmoid_denominator(code, gate) for gate in (i, f, o))
    g, g_denominator = tanh_fraction(code, g)
    i = code.product(i, g_denominator)
    numerator = code.multiply_add(code.load(memory), i, code.product(g, f))
    code.store(code.clipped(code.quotient(numerator, code.product(i, f)), config.cell_clip), memory)
    code.store(o, sums)
    code.builder.ret_void()
    return function


def gated_cell(module: ir.Module, config: KernelConfig, bf16: bool) -> ir.Function:
    """Return a function that gates memory cells.

    Its arguments are three addresses: of the denominator of the output gate, of the memory cells, and of the result.

    Args:
        module: The module that gets the function.
        config: Configuration of the kernel.
        bf16: Whether the result is in bfloat16.
    """
    function, code = shared_function(module, config, "gated_cell", [POINTER, POINTER, POINTER])
    if code is None:
        return function
    gate, memory, output = function.args
    numerator, denominator = tanh_fraction(code, code.load(memory))
    code.store(code.quotient(numerator, code.product(denominator, code.load(gate))), output, bf16)
    code.builder.ret_void()
    return function
