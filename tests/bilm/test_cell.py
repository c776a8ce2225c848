"""The memory cell in one kernel on a GPU, against the plain formula and its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from elmo_mf.bilm import cell
from elmo_mf.bilm.cell import lstm_cell
from tests.bilm.layers import DENSE, FACTORED, Layer, Ranks
from tests.gpu import needs_gpu


def _results(gates: Tensor, c: Tensor, clip: float | None, weights: tuple[Tensor, Tensor]) -> list[Tensor]:
    """The cell's output and memory, and the gradients of a weighted sum of both."""
    gates, c = gates.clone().requires_grad_(), c.clone().requires_grad_()
    out, after = lstm_cell(gates, c, clip)
    torch.autograd.backward([out, after], list(weights))
    assert gates.grad is not None and c.grad is not None
    return [part.detach().cpu().double() for part in (out, after, gates.grad, c.grad)]


@needs_gpu
@pytest.mark.parametrize("clip", [None, 3.0, 0.1])
@pytest.mark.parametrize("rows", [1, 5, 300])
def test_one_kernel_equals_the_formula(rows: int, clip: float | None) -> None:
    assert cell._kernels() is not None
    generator = torch.Generator().manual_seed(rows)
    gates, c, *weights = (
        torch.randn(2, rows, k * 33, generator=generator, dtype=torch.float64) * scale
        for k, scale in ((4, 3), (1, 2), (1, 1), (1, 1))
    )
    expected = _results(gates, c, clip, (weights[0], weights[1]))
    on_gpu = [part.float().cuda() for part in (gates, c, *weights)]
    found = _results(on_gpu[0], on_gpu[1], clip, (on_gpu[2], on_gpu[3]))
    for one, other in zip(found, expected, strict=True):
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
    cell._kernels.cache_clear()
    try:
        assert cell._kernels() is None
        gates, c = torch.randn(2, 3, 16, device="cuda"), torch.randn(2, 3, 4, device="cuda")
        for one, other in zip(lstm_cell(gates, c, 1.0), lstm_cell(gates.cpu(), c.cpu(), 1.0), strict=True):
            torch.testing.assert_close(one.cpu(), other, atol=2e-6, rtol=0)
    finally:
        cell._kernels.cache_clear()
