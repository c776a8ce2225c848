"""The LSTM's memory cell: everything after the products of the gates.

On a GPU it is one kernel, and one for its gradients, instead of a dozen. PyTorch compiles them when they are first
called; no compiler has to be installed.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from elmo_mf.bilm.packing import State
from elmo_mf.errors import one_line

Kernel = Callable[..., tuple[Tensor, ...]]


def lstm_cell(gates: Tensor, c: Tensor, clip: float | None) -> State:
    """Compute sigmoid(o) * tanh(c_t) and c_t = clip(sigmoid(i) * tanh(g) + sigmoid(f) * c).

    Args:
        gates: i, f, o and g before their activations, (G, rows, 4n).
        c: Previous memory cells, (G, rows, n).
        clip: Bound on the absolute values of c_t; None for no bound.

    Returns:
        The gated cells and c_t, (G, rows, n) each.
    """
    if gates.is_cuda and c.dtype == torch.float32 and kernels() is not None:
        gated, c = _FusedCell.apply(gates, c, math.inf if clip is None else clip)  # type: ignore[no-untyped-call]
        return gated, c
    n = c.shape[2]
    ifo, g = torch.split(gates, [3 * n, n], dim=2)
    i, f, o = ifo.sigmoid().chunk(3, dim=2)
    c = clipped(torch.addcmul(f * c, i, g.tanh()), clip)
    return o * c.tanh(), c


def clipped(values: Tensor, bound: float | None) -> Tensor:
    """Clip to plus and minus `bound`; None for no bound."""
    return values if bound is None else values.clamp(-bound, bound)


class _FusedCell(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, c: Tensor, bound: float) -> State:
        ctx.save_for_backward(gates, c)
        ctx.bound = bound
        forward, _ = cast(tuple[Kernel, Kernel], kernels())
        gated, after = forward(*gates.chunk(4, dim=2), c, bound=bound)
        return gated, after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_cell: Tensor, grad_after: Tensor) -> tuple[Tensor, Tensor, None]:
        gates, c = ctx.saved_tensors
        _, backward = cast(tuple[Kernel, Kernel], kernels())
        *grad_gates, grad_c = backward(*gates.chunk(4, dim=2), c, grad_cell, grad_after, bound=ctx.bound)
        return torch.cat(grad_gates, dim=2), grad_c, None


_CELL = """
template <typename T> T sigmoid(T x) { return T(1) / (T(1) + ::exp(-x)); }
template <typename T> T within(T x, T bound) { return x < -bound ? -bound : (x > bound ? bound : x); }
"""
FORWARD_CODE = (
    _CELL
    + """
template <typename T> void lstm_cell(T i, T f, T o, T g, T c, T bound, T& cell, T& after) {
  after = within(sigmoid(i) * ::tanh(g) + sigmoid(f) * c, bound);
  cell = sigmoid(o) * ::tanh(after);
}
"""
)
BACKWARD_CODE = (
    _CELL
    + """
template <typename T> void lstm_cell_gradients(T i, T f, T o, T g, T c, T grad_cell, T grad_after, T bound,
                                               T& grad_i, T& grad_f, T& grad_o, T& grad_g, T& grad_c) {
  i = sigmoid(i); f = sigmoid(f); o = sigmoid(o); g = ::tanh(g);
  T before = i * g + f * c;
  T out = ::tanh(within(before, bound));
  T grad = before < -bound || before > bound ? T(0) : grad_after + grad_cell * o * (T(1) - out * out);
  grad_i = grad * g * i * (T(1) - i);
  grad_f = grad * c * f * (T(1) - f);
  grad_o = grad_cell * out * o * (T(1) - o);
  grad_g = grad * i * (T(1) - g * g);
  grad_c = grad * f;
}
"""
)


@cache
def kernels() -> tuple[Kernel, Kernel] | None:
    """Both kernels, tried out; None if PyTorch cannot compile them, or the environment has `ELMO_MF_NATIVE=0`."""
    if os.environ.get("ELMO_MF_NATIVE") == "0":
        return None
    from torch.cuda.jiterator import _create_multi_output_jit_fn

    forward = _create_multi_output_jit_fn(FORWARD_CODE, num_outputs=2, bound=0.0)
    backward = _create_multi_output_jit_fn(BACKWARD_CODE, num_outputs=5, bound=0.0)
    one = torch.zeros(1, device="cuda")
    try:
        forward(*[one] * 5)
        backward(*[one] * 7)
    except (AssertionError, RuntimeError) as error:
        warnings.warn(
            f"the LSTM's memory cell runs as separate kernels on this GPU: {one_line(error, 300)}", stacklevel=2
        )
        return None
    return forward, backward
