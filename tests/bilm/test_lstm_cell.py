"""The memory cell in one kernel on a GPU, against the plain formula and its gradients."""

from __future__ import annotations

import ctypes
import math
import subprocess
from pathlib import Path
from shutil import which

import pytest
import torch
from torch import Tensor

from elmo_mf.bilm import _lstm_cell as cell
from elmo_mf.bilm._lstm_cell import lstm_cell
from tests.bilm.layers import DENSE, FACTORED, Layer, Ranks
from tests.gpu import needs_gpu


def _results(gates: Tensor, c: Tensor, clip: float | None, weights: tuple[Tensor, Tensor]) -> list[Tensor]:
    """The cell's output and memory, and the gradients of a weighted sum of both."""
    gates, c = gates.clone().requires_grad_(), c.clone().requires_grad_()
    out, after = lstm_cell(gates, c, clip)
    torch.autograd.backward([out, after], list(weights))
    assert gates.grad is not None and c.grad is not None
    return [part.detach().cpu().double() for part in (out, after, gates.grad, c.grad)]


_HOST = """
#include <math.h>
{code}
extern "C" void run(const double* x, double bound, double* y) {{ {call} }}
"""


@pytest.mark.skipif(which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("bound", [math.inf, 3.0, 0.1])
def test_the_kernels_formulas(bound: float, tmp_path: Path) -> None:
    """What a GPU computes for one memory cell, as C++ on the CPU, against autograd."""
    calls = ("lstm_cell<double>(x[0], x[1], x[2], x[3], x[4], bound, y[0], y[1]);",
             "lstm_cell_gradients<double>(x[0], x[1], x[2], x[3], x[4], x[5], x[6], bound, "
             "y[0], y[1], y[2], y[3], y[4]);")  # fmt: skip
    built = []
    for index, (code, call) in enumerate(zip((cell.FORWARD_CODE, cell.BACKWARD_CODE), calls, strict=True)):
        source, library = tmp_path / f"{index}.cpp", tmp_path / f"{index}.so"
        source.write_text(_HOST.format(code=code, call=call))
        subprocess.run(["g++", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
        built.append(ctypes.CDLL(str(library)).run)
    for x in 2 * torch.randn(50, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64):
        gates, c = x[:4].view(1, 1, 4).requires_grad_(), x[4:5].view(1, 1, 1).requires_grad_()
        expected = lstm_cell(gates, c, None if bound == math.inf else bound)
        gradients = torch.autograd.grad(expected, [gates, c], [x[5].view(1, 1, 1), x[6].view(1, 1, 1)])
        for run, wanted in zip(built, (expected, gradients), strict=True):
            values = torch.cat([part.flatten() for part in wanted]).tolist()
            outputs = (ctypes.c_double * len(values))()
            run((ctypes.c_double * 7)(*x.tolist()), ctypes.c_double(bound), outputs)
            assert list(outputs) == pytest.approx(values, abs=1e-12)


@needs_gpu
@pytest.mark.parametrize("clip", [None, 3.0, 0.1])
@pytest.mark.parametrize("rows", [1, 5, 300])
def test_one_kernel_equals_the_formula(rows: int, clip: float | None) -> None:
    assert cell.kernels() is not None
    generator = torch.Generator().manual_seed(rows)
    gates, c, *weights = (
        torch.randn(2, rows, k * 33, generator=generator, dtype=torch.float64) * scale
        for k, scale in ((4, 3), (1, 2), (1, 1), (1, 1))
    )
    expected = _results(gates, c, clip, (weights[0], weights[1]))
    on_gpu = [part.float().cuda() for part in (gates, c, *weights)]
    actual = _results(on_gpu[0], on_gpu[1], clip, (on_gpu[2], on_gpu[3]))
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=0)


@needs_gpu
@pytest.mark.parametrize("ranks", [DENSE, FACTORED])
def test_gradients_of_a_layer_on_a_gpu(ranks: tuple[Ranks, Ranks]) -> None:
    layer = Layer(1024, 16, ranks, (3.0, 3.0), 1.0)
    inputs, sizes, (h, c) = layer.batch([9, 4, 4])
    here, there = layer.build().cuda(), layer.build()
    here(inputs.cuda(), sizes, (h.cuda(), c.cuda()))[0].square().sum().backward()
    there(inputs, sizes, (h, c))[0].square().sum().backward()
    for one, other in zip(here.parameters(), there.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(one.grad.cpu(), other.grad, atol=1e-4, rtol=1e-4)


@needs_gpu
def test_in_steps_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELMO_MF_NATIVE", "0")
    cell.kernels.cache_clear()
    try:
        assert cell.kernels() is None
        gates, c = torch.randn(2, 3, 16, device="cuda"), torch.randn(2, 3, 4, device="cuda")
        for one, other in zip(lstm_cell(gates, c, 1.0), lstm_cell(gates.cpu(), c.cpu(), 1.0), strict=True):
            torch.testing.assert_close(one.cpu(), other, atol=2e-6, rtol=0)
    finally:
        cell.kernels.cache_clear()
