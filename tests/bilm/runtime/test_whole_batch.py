"""Training on a CPU as one operation of autograd, against autograd through the formula step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from elmo_mf.bilm.lstm import ProjectedLstm
from elmo_mf.bilm.packing import State
from elmo_mf.bilm.runtime._autograd_recurrence import Recurrence
from elmo_mf.bilm.runtime._eager import EagerLstm
from elmo_mf.bilm.runtime._training_cells import TrainingCells, training_cells
from elmo_mf.bilm.runtime._whole_batch import WholeBatchLstm
from elmo_mf.bilm.runtime_settings import RuntimeSettings
from tests.bilm.layers import DENSE, FACTORED, Layer, Ranks, assert_close, runtime

ranks = st.tuples(*[st.none() | st.integers(1, 5)] * 3)
layers = st.builds(
    Layer,
    n=st.sampled_from([5, 16]),
    p=st.sampled_from([3, 8]),
    ranks=ranks.map(lambda own: (own, own)),
    clips=st.tuples(*[st.sampled_from([None, 0.1, 3.0])] * 2),
    scale=st.sampled_from([0.5, 2.0]),
    seed=st.integers(0, 1000),
    pruned=st.booleans(),
)
batches = st.lists(st.integers(1, 7), min_size=1, max_size=6)
SMALL = Layer(16, 8, FACTORED, (0.3, 0.3), 1.0)
PYTORCH = RuntimeSettings(machine_code=False)


def _lstm(layer: Layer, settings: RuntimeSettings | None = None) -> ProjectedLstm:
    return cast(ProjectedLstm, layer.build(settings=settings).groups[0])


def _results(run: object, lstm: ProjectedLstm, batch: tuple[Tensor, list[int], State]) -> list[Tensor]:
    """Outputs, last states, and the gradients of all inputs and parameters."""
    inputs, sizes, state = batch
    leaves = [one.detach().clone().requires_grad_() for one in (inputs, *state)]
    output, last = run(leaves[0], sizes, (leaves[1], leaves[2]))  # type: ignore[operator]
    results = [output, *last]
    draw = torch.Generator().manual_seed(1)
    weights = [torch.randn(one.shape, generator=draw).to(one) for one in results]
    gradients = torch.autograd.grad(results, [*leaves, *lstm.parameters()], weights)
    return [one.detach() for one in (*results, *gradients)]


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(layers, batches, st.integers(1, 3000))
def test_equals_autograd_through_the_formula(layer: Layer, lengths: list[int], cache: int) -> None:
    """In float64, and with any number of steps at once."""
    thresholds = RuntimeSettings(cache_bytes=cache)
    lstm = _lstm(layer, thresholds).double()
    inputs, sizes, (h, c) = layer.batch(lengths)
    batch = inputs.double(), sizes, (h.double(), c.double())
    assert isinstance(lstm.runtime(*batch), WholeBatchLstm)
    actual, expected = _results(lstm, lstm, batch), _results(EagerLstm(lstm, thresholds), lstm, batch)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [FACTORED, DENSE])
def test_numerical_gradients(ranks: tuple[Ranks, Ranks]) -> None:
    layer = replace(SMALL, n=3, p=2, ranks=ranks, clips=(0.6, 0.4))
    lstm = _lstm(layer).double()
    inputs, sizes, state = layer.batch([3, 2, 2])
    w_x, w_h = lstm.input.factors, lstm.recurrent.factors
    assert lstm.projection is not None
    leaves = [one.detach().double().requires_grad_() for one in (inputs, *state, lstm.bias, *w_x, *w_h)]
    leaves += [one.detach().requires_grad_() for one in lstm.projection.factors]
    cells = training_cells(3, 0.6, torch.float64, torch.float64, RuntimeSettings())
    run = Recurrence(sizes, cells, 0.4, torch.float64, 4)

    def together(x: Tensor, h: Tensor, c: Tensor, bias: Tensor, *factors: Tensor) -> tuple[Tensor, ...]:
        first, second = factors[: len(w_x)], factors[len(w_x) : len(w_x) + len(w_h)]
        output, last = run(x, (h, c), bias, first, second, factors[len(w_x) + len(w_h) :])
        return (output, *last)

    assert torch.autograd.gradcheck(together, leaves)


@pytest.mark.parametrize("machine_code", [False, True])
@pytest.mark.parametrize("ranks", [FACTORED, DENSE])
def test_bfloat16_comes_close(ranks: tuple[Ranks, Ranks], machine_code: bool) -> None:
    layer = Layer(48, 32, ranks, (3.0, 3.0), 1.0)
    lstm, batch = _lstm(layer, RuntimeSettings(machine_code=machine_code)), layer.batch([9, 9, 7, 3, 1])
    expected = _results(lstm, lstm, batch)
    with torch.autocast("cpu", torch.bfloat16):
        actual = _results(lstm, lstm, batch)
    assert actual[0].dtype == torch.bfloat16 and actual[2].dtype == torch.float32
    for one, other in zip(actual, expected, strict=True):
        assert (one.float() - other).norm() < 0.02 * other.norm()


def test_which_layers_run_so() -> None:
    """Not those that share a factor or have one for each gate, nor where a hook waits for the products of a step."""
    batch = SMALL.batch([3, 1])
    assert isinstance(runtime(SMALL.build(), batch), WholeBatchLstm)
    for other in (replace(SMALL, joint=True), replace(SMALL, blocks=4)):
        assert isinstance(runtime(other.build(), batch), EagerLstm)
    module = SMALL.build()
    handle = cast(ProjectedLstm, module.groups[0]).recurrent.register_forward_pre_hook(lambda *_: None)
    assert isinstance(runtime(module, batch), EagerLstm)
    handle.remove()
    assert isinstance(runtime(module, batch), WholeBatchLstm)


def test_what_is_frozen_gets_no_gradient() -> None:
    lstm, (inputs, sizes, state) = _lstm(SMALL), SMALL.batch([4, 2])
    (expected,) = torch.autograd.grad(lstm(inputs, sizes, state)[0].sum(), [lstm.recurrent.left])
    lstm.requires_grad_(False).recurrent.left.requires_grad_()
    lstm(inputs, sizes, state)[0].sum().backward()
    torch.testing.assert_close(lstm.recurrent.left.grad, expected)
    assert [name for name, one in lstm.named_parameters() if one.grad is not None] == ["recurrent.left"]


def test_a_graph_can_be_kept() -> None:
    lstm, (inputs, sizes, state) = _lstm(SMALL), SMALL.batch([4, 2])
    loss = lstm(inputs, sizes, state)[0].square().sum()
    first = torch.autograd.grad(loss, list(lstm.parameters()), retain_graph=True)
    again = torch.autograd.grad(loss, list(lstm.parameters()))
    assert all(map(torch.equal, first, again))


def _cells(cells: TrainingCells, gates: Tensor, before: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """The results of both passes, of gates (2, rows, 4n) and memory cells (2, rows, n)."""
    draw = torch.Generator().manual_seed(2)
    sums, bias = gates.to(dtype), torch.linspace(-1, 1, 2 * gates.shape[2]).view(2, 1, -1)
    after, gated = torch.empty_like(before), torch.empty_like(before, dtype=dtype)
    cells.forward(sums.clone(), bias, before, after, gated)
    of_gated, of_cells = (torch.randn(before.shape, generator=draw) for _ in range(2))
    of_sums, of_bias = torch.empty_like(sums), torch.ones_like(bias)
    cells.backward((sums, bias, before, after), of_gated.to(dtype), of_cells, of_sums, of_bias)
    return [after, gated, of_cells, of_sums, of_bias]


@pytest.mark.parametrize("lanes", [None, 8])
@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_machine_code_equals_pytorch(scale: float, dtype: torch.dtype, clip: float | None, lanes: int | None) -> None:
    compiled = pytest.importorskip("elmo_mf.bilm.runtime.kernel.compiled")
    if compiled.lanes() is None or (dtype == torch.bfloat16 and not compiled.has_bfloat16()):
        pytest.skip("this processor has no machine code for it")
    draw = torch.Generator().manual_seed(1)
    gates, before = scale * torch.randn(2, 5, 4 * 48, generator=draw), torch.randn(2, 5, 48, generator=draw)
    native = training_cells(48, clip, dtype, torch.float32, RuntimeSettings(machine_code_lanes=lanes))
    plain = training_cells(48, clip, dtype, torch.float32, PYTORCH)
    assert type(native) is not type(plain)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    for one, other in zip(*(_cells(cells, gates, before, dtype) for cells in (native, plain)), strict=True):
        assert_close(one, other, tolerance)


def test_threads_change_nothing() -> None:
    layer, before = Layer(48, 32, DENSE, (3.0, 3.0), 1.0), torch.get_num_threads()
    lstm, batch = _lstm(layer), layer.batch([7, 7, 6, 3, 1])
    try:
        torch.set_num_threads(1)
        expected = _results(lstm, lstm, batch)
        torch.set_num_threads(2)
        actual = _results(lstm, lstm, batch)
    finally:
        torch.set_num_threads(before)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
