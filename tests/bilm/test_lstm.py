"""The LSTM layer, in training and in every form in which PyTorch runs it in inference, against the plain formula."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from elmo_mf.bilm import clear_derived_caches
from elmo_mf.bilm.lstm import BiLstmLayer, ProjectedLstm
from elmo_mf.bilm.runtime import Precision, supports
from elmo_mf.bilm.runtime._packed_lstm import PackedLstm
from elmo_mf.bilm.runtime_settings import RuntimeSettings
from elmo_mf.bilm.stacked_linear import StackedLinear
from elmo_mf.bilm.weights import TARGETS
from tests.bilm.layers import (
    DENSE,
    FACTORED,
    STRUCTURES,
    Layer,
    Ranks,
    assert_close,
    assert_equal,
    plain_layer,
    runtime,
)
from tests.bilm.reference import PlainWeights
from tests.conftest import without_onednn

ranks = st.tuples(*[st.none() | st.integers(1, 5)] * 3)
layers = st.builds(
    Layer,
    n=st.sampled_from([4, 5, 16, 48]),
    p=st.sampled_from([3, 8]),
    ranks=st.tuples(ranks, ranks) | ranks.map(lambda own: (own, own)),
    clips=st.tuples(*[st.sampled_from([None, 0.1, 3.0])] * 2),
    scale=st.sampled_from([0.5, 1.0, 2.0]),
    **STRUCTURES,
)
batches = st.lists(st.integers(1, 7), min_size=1, max_size=6)


PYTORCH = RuntimeSettings(machine_code=False)  # machine code has tests of its own
ALWAYS_PACKED = replace(PYTORCH, packed_multiply_adds=0)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(layers, batches)
def test_training_equals_the_plain_formula(layer: Layer, lengths: list[int]) -> None:
    assert_equal(layer, lengths)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(layers, batches, st.sampled_from([0, 100, 400, 1e9]), st.integers(1, 5), st.integers(1, 10_000))
def test_inference_equals_the_plain_formula(
    layer: Layer, lengths: list[int], products: float, joint: int, cache: int
) -> None:
    """With any thresholds between the forms, and any number of steps at once."""
    settings = replace(PYTORCH, packed_multiply_adds=products, joint_sequences=joint, cache_bytes=cache)
    with torch.inference_mode():
        assert_equal(layer, lengths, settings)


@pytest.mark.parametrize("ranks", [FACTORED, DENSE])
def test_a_batch_goes_through_every_layout(ranks: tuple[Ranks, Ranks]) -> None:
    """The tests above do test them."""
    layer, lengths = Layer(16, 8, ranks, (3.0, 3.0), 1.0), [9, 9, 4, 3, 1]
    recurrent = cast(ProjectedLstm, layer.build().groups[0]).recurrent.left[0].numel()
    settings = replace(PYTORCH, joint_sequences=4, packed_multiply_adds=3 * recurrent)
    with torch.no_grad():
        assert_equal(layer, lengths, settings)
        packed = runtime(layer.build(settings=settings), batch := layer.batch(lengths))
    if supports("float32"):
        assert isinstance(packed, PackedLstm)
        layouts = {"joint", "separate", "stacked"} if ranks == FACTORED else {"separate", "stacked"}
        assert set(map(packed.layout, batch[1])) == layouts


def test_clips_are_hit_or_not() -> None:
    """So that the tests above do test both."""
    for bound, hit in ((0.1, True), (3.0, False)):
        layer = Layer(16, 8, FACTORED, (bound, bound), 1.0)
        inputs, sizes, state = layer.batch([6, 2])
        with torch.no_grad():
            output, (_, c) = layer.build()(inputs, sizes, state)
        assert (output.abs().max().item() == pytest.approx(bound)) is hit
        assert (c.abs().max().item() == pytest.approx(bound)) is hit


def _plain(layer: Layer) -> Layer:
    """Dense or factored, each matrix by itself."""
    return replace(layer, blocks=1, joint=False, pruned=False)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(layers.map(_plain), batches)
def test_gradients_through_the_factors(layer: Layer, lengths: list[int]) -> None:
    """Against autograd on the plain formula in float64: with respect to every factor, the bias and the inputs."""
    inputs, sizes, state = layer.batch(lengths)
    inputs.requires_grad_()
    module, plain = layer.build(), [PlainWeights.of(w) for w in layer.weights()]
    for tensor in (tensor for weights in plain for tensor in weights.tensors):
        tensor.requires_grad_()
    expected = plain_layer(layer, inputs, sizes, state, plain)
    output, (h, c) = module(inputs, sizes, state)
    loss_weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    plain_loss = (expected[0] * loss_weights).sum() + expected[1].sum() + expected[2].sum()
    (wanted_inputs,) = torch.autograd.grad(plain_loss, inputs, retain_graph=True)
    plain_loss.backward(inputs=[tensor for weights in plain for tensor in weights.tensors])  # type: ignore[no-untyped-call]
    loss = (output * loss_weights).sum() + h.sum() + c.sum()
    loss.backward()
    assert inputs.grad is not None
    assert_close(inputs.grad, wanted_inputs, 1e-4)
    for gradients, weights in zip(_gradients(module), plain, strict=True):
        for name, wanted in zip(PlainWeights._fields, weights, strict=True):
            tensors = wanted if isinstance(wanted, tuple) else (wanted,)
            for gradient, other in zip(gradients[name], tensors, strict=True):
                assert other.grad is not None
                assert_close(gradient, other.grad, 1e-4)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(layers, batches)
def test_gradients_of_the_inputs(layer: Layer, lengths: list[int]) -> None:
    """Of every form, against autograd on the plain formula; and what was pruned stays zero in training."""
    inputs, sizes, state = layer.batch(lengths)
    inputs.requires_grad_()
    module, plain = layer.build(), [PlainWeights.of(w) for w in layer.weights()]
    (wanted,) = torch.autograd.grad(plain_layer(layer, inputs, sizes, state, plain)[0].sum(), inputs)
    module(inputs, sizes, state)[0].sum().backward()
    assert inputs.grad is not None
    assert_close(inputs.grad, wanted, 1e-4)
    for linear in module.modules():
        if isinstance(linear, StackedLinear) and linear.mask is not None:
            assert (_grad(linear.left)[linear.left == 0] == 0).all()


def _gradients(module: BiLstmLayer) -> list[dict[str, tuple[Tensor, ...]]]:
    """Of each direction, in the form of `PlainWeights`."""
    gradients = []
    for group in cast(list[ProjectedLstm], module.groups):
        for d in range(len(group.bias)):
            of_direction: dict[str, tuple[Tensor, ...]] = {"bias": (_igfo(_grad(group.bias)[d, 0]),)}
            for target in TARGETS:
                linear = getattr(group, target)
                left = _grad(linear.left)[d].T
                left = left if target == "projection" else _igfo(left)
                of_direction[target] = (left,) if linear.right is None else (left, _grad(linear.right)[d].T)
            gradients.append(of_direction)
    return gradients


def _grad(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _igfo(rows: Tensor) -> Tensor:
    i, f, o, g = rows.chunk(4)
    return torch.cat([i, g, f, o])


def _run(module: BiLstmLayer, batch: Any) -> Tensor:
    with torch.no_grad():
        return cast(Tensor, module(*batch)[0])


def _replace_data(parameter: torch.nn.Parameter) -> None:
    parameter.data = parameter.data * 2


def _write_in_place(parameter: torch.nn.Parameter) -> None:
    with torch.no_grad():
        parameter.mul_(2)


def _write_in_inference_mode(parameter: torch.nn.Parameter) -> None:
    with torch.inference_mode():
        parameter.mul_(2)


def _write_a_view(parameter: torch.nn.Parameter) -> None:
    parameter.detach()[0].mul_(2)


def _write_one_number(parameter: torch.nn.Parameter) -> None:
    with torch.no_grad():
        parameter[0, -1, -1] += 1


def _write_data(parameter: torch.nn.Parameter) -> None:
    """As AllenNLP's `ExponentialMovingAverage` does."""
    parameter.data.copy_(parameter.data * 2)


def _write_shared_array(parameter: torch.nn.Parameter) -> None:
    array = parameter.detach().numpy()
    array *= 2


COUNTED = [_replace_data, _write_in_place, _write_in_inference_mode, _write_a_view, _write_one_number]
UNCOUNTED = [_write_data, _write_shared_array]


def _assert_follows(module: BiLstmLayer, batch: Any, before: Tensor) -> None:
    """What the module gives now is what its parameters give without any cache, and not what it gave before."""
    after = _run(module, batch)
    torch.testing.assert_close(after, module(*batch)[0].detach(), atol=1e-5, rtol=0)
    assert (after - before).abs().max() > 1e-3


@pytest.mark.parametrize("change", COUNTED)
@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("ranks", [FACTORED, DENSE])
@pytest.mark.parametrize("target", TARGETS)
def test_a_changed_parameter_is_noticed(change: Any, trainable: bool, ranks: tuple[Ranks, Ranks], target: str) -> None:
    layer = Layer(16, 8, ranks, (3.0, 3.0), 1.0)
    module, batch = layer.build(settings=ALWAYS_PACKED).eval().requires_grad_(trainable), layer.batch([5, 4, 2])
    before = _run(module, batch)
    change(getattr(module.groups[0], target).left)
    after = _run(module, batch)
    torch.testing.assert_close(after, _run(copy.deepcopy(module), batch))
    _assert_follows(module.requires_grad_(True), batch, before)


@pytest.mark.parametrize("change", UNCOUNTED)
@pytest.mark.parametrize("notice", [nn.Module.train, nn.Module.eval, clear_derived_caches])
def test_an_uncounted_write_to_a_trainable_parameter(change: Any, notice: Callable[[nn.Module], object]) -> None:
    layer = Layer(16, 8, FACTORED, (3.0, 3.0), 1.0)
    module, batch = layer.build(settings=ALWAYS_PACKED).eval(), layer.batch([5, 4, 2])
    before = _run(module, batch)
    change(cast(ProjectedLstm, module.groups[0]).recurrent.left)
    notice(module)
    _assert_follows(module, batch, before)


@pytest.mark.parametrize("change", UNCOUNTED)
def test_an_uncounted_write_to_a_frozen_parameter(change: Any) -> None:
    """Evaluating often keeps what derives from frozen parameters, so that only the documented call helps."""
    layer = Layer(16, 8, FACTORED, (3.0, 3.0), 1.0)
    module, batch = layer.build(settings=ALWAYS_PACKED).eval().requires_grad_(False), layer.batch([5, 4, 2])
    before = _run(module, batch)
    change(cast(ProjectedLstm, module.groups[0]).recurrent.left)
    clear_derived_caches(module.train().eval())
    _assert_follows(module.requires_grad_(True), batch, before)


@pytest.mark.parametrize("assign", [False, True])
def test_loaded_parameters_are_noticed(assign: bool) -> None:
    first, second = Layer(16, 8, FACTORED, (3.0, 3.0), 1.0), Layer(16, 8, FACTORED, (3.0, 3.0), 1.0, seed=1)
    module, batch = first.build(settings=PYTORCH).requires_grad_(False), first.batch([5, 4, 2])
    _run(module, batch)
    module.load_state_dict(second.build().state_dict(), assign=assign)
    torch.testing.assert_close(_run(module, batch), _run(second.build(settings=PYTORCH), batch))


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.SGD, lr=0.1, foreach=False),
        partial(torch.optim.SGD, lr=0.1, foreach=True),
        partial(torch.optim.SGD, lr=0.1, fused=True),
        partial(torch.optim.Adam, lr=0.1),
        partial(torch.optim.Adam, lr=0.1, foreach=True),
        partial(torch.optim.Adam, lr=0.1, fused=True),
        partial(torch.optim.AdamW, lr=0.1, fused=True),
        partial(torch.optim.Adagrad, lr=0.1, fused=True),
    ],
    ids=str,
)
def test_an_optimizer_step_is_noticed(optimizer: Callable[..., torch.optim.Optimizer]) -> None:
    layer = Layer(16, 8, FACTORED, (3.0, 3.0), 1.0)
    module, batch = layer.build(settings=ALWAYS_PACKED), layer.batch([5, 4, 2])
    before = _run(module, batch)
    module(*batch)[0].square().sum().backward()
    optimizer(module.parameters()).step()
    _assert_follows(module, batch, before)


def test_moved_parameters_are_noticed() -> None:
    layer = Layer(16, 8, FACTORED, (3.0, 3.0), 1.0)
    module, batch = layer.build(settings=ALWAYS_PACKED), layer.batch([5, 4, 2])
    before = _run(module, batch)
    module.to(torch.float16).to(torch.float32)
    after = _run(module, batch)
    assert not torch.equal(after, before)
    torch.testing.assert_close(after, module(*batch)[0].detach(), atol=1e-5, rtol=0)


def test_a_module_built_in_inference_mode() -> None:
    """Its parameters are inference tensors, whose writes PyTorch does not count."""
    layer = Layer(16, 8, FACTORED, (3.0, 3.0), 1.0)
    batch = layer.batch([5, 4, 2])
    with torch.inference_mode():
        module = layer.build(settings=ALWAYS_PACKED)
        before = _run(module, batch)
        assert torch.equal(_run(module, batch), before)
        left = cast(ProjectedLstm, module.groups[0]).recurrent.left
        assert left.is_inference()
        left.mul_(2)
        clear_derived_caches(module)
        after = _run(module, batch)
        expected = layer.build(settings=ALWAYS_PACKED)
        cast(ProjectedLstm, expected.groups[0]).recurrent.left.mul_(2)
        torch.testing.assert_close(after, _run(expected, batch))
    assert (after - before).abs().max() > 1e-3


def test_unchanged_parameters_are_packed_once() -> None:
    layer = Layer(16, 8, FACTORED, (3.0, 3.0), 1.0)
    module, batch = layer.build(settings=ALWAYS_PACKED).requires_grad_(False), layer.batch([5, 4, 2])
    with torch.no_grad():
        first = runtime(module, batch)
        _run(module, batch)
        module.train().eval()
        assert runtime(module, batch) is first


def test_a_module_that_has_run_can_be_copied_and_saved() -> None:
    layer = Layer(16, 8, FACTORED, (3.0, 3.0), 1.0)
    module, batch = layer.build(settings=ALWAYS_PACKED), layer.batch([5, 4, 2])
    expected = _run(module, batch)
    assert torch.equal(_run(copy.deepcopy(module), batch), expected)
    torch.save(module, file := io.BytesIO())
    file.seek(0)
    assert torch.equal(_run(torch.load(file, weights_only=False), batch), expected)


@pytest.mark.parametrize("ranks", [FACTORED, DENSE])
def test_without_onednn(ranks: tuple[Ranks, Ranks]) -> None:
    layer = Layer(16, 8, ranks, (3.0, 3.0), 1.0)
    expected = _run(layer.build(settings=PYTORCH), layer.batch([5, 4, 2]))
    with without_onednn():
        actual = _run(layer.build("bfloat16"), layer.batch([5, 4, 2]))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_other_types_than_float32() -> None:
    layer = Layer(16, 8, FACTORED, (3.0, 3.0), 1.0)
    inputs, sizes, state = layer.batch([5, 4, 2])
    expected = _run(layer.build(), (inputs, sizes, state))
    actual = _run(layer.build().double(), (inputs.double(), sizes, tuple(part.double() for part in state)))
    assert actual.dtype == torch.float64
    assert_close(actual, expected, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@settings(max_examples=60, deadline=None)
@given(layer=layers, lengths=batches, joint=st.integers(1, 4))
def test_less_precise_weights_are_close(precision: Precision, layer: Layer, lengths: list[int], joint: int) -> None:
    if not supports(precision):
        pytest.skip(f"needs a processor with {precision} products")
    batch = layer.batch(lengths)
    settings = replace(ALWAYS_PACKED, quantized_numbers=0, joint_sequences=joint)
    exact, close = _run(layer.build(settings=settings), batch), _run(layer.build(precision, settings), batch)
    assume(not layer.all_clipped(exact))  # else nothing of the weights is left to see
    assert not torch.equal(exact, close)
    difference = (close - exact).norm() / exact.norm()
    assert difference < 0.1


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("ranks", [FACTORED, DENSE])
def test_neighbours_change_nothing(precision: Precision, ranks: tuple[Ranks, Ranks]) -> None:
    """int8 has a scale for each row, and does not find it among the neighbours' values."""
    if not supports(precision):
        pytest.skip(f"needs a processor with {precision} products")
    settings = replace(ALWAYS_PACKED, quantized_numbers=0, joint_sequences=1)
    layer = Layer(16, 8, ranks, (3.0, 3.0), 1.0)
    inputs, sizes, (h, c) = layer.batch([5, 5])
    inputs[:, 1::2] *= 100
    module = layer.build(precision, settings)
    together = _run(module, (inputs, sizes, (h, c)))
    alone = _run(module, (inputs[:, ::2], [1] * 5, (h[:, :1], c[:, :1])))
    torch.testing.assert_close(together[:, ::2], alone, atol=1e-6 if precision == "float32" else 1e-3, rtol=0)
