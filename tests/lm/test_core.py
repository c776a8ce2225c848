"""Tests of a language model's core, dense and compressed, against `torch.nn.LSTM`."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from elmo_mf.bilm.lstm import ProjectedLstm
from elmo_mf.bilm.runtime import supports
from elmo_mf.bilm.weights import JOINT, Factors, Pruned
from elmo_mf.compression import check_compression, read_compression
from elmo_mf.errors import InputError
from elmo_mf.lm import CoreLstm, compress_core
from elmo_mf.records import Compression

State = list[tuple[Tensor, Tensor]]
TARGETS = st.sampled_from(["input", "recurrent", "all", "joint"])
compressions = st.none() | st.builds(
    lambda method, rank, targets, granularity: Compression(
        method=method, rank=rank, targets=targets, granularity=granularity, allow_larger=True
    ),
    st.sampled_from(["svd", "prune"]),
    st.integers(1, 3),
    TARGETS,
    st.sampled_from(["stacked", "gate"]),
)


def _core(sizes: list[int], compression: Compression | None, seed: int = 0) -> CoreLstm:
    torch.manual_seed(seed)
    core = CoreLstm.random(sizes)
    if compression is None:
        return core
    return compress_core(core, compression)


def _run(lstms: list[nn.LSTM], inputs: Tensor, state: State | None) -> tuple[list[Tensor], State]:
    outputs, after = [], []
    for index, lstm in enumerate(lstms):
        inputs, last = lstm(inputs, None if state is None else state[index])
        outputs.append(inputs)
        after.append(last)
    return outputs, after


def _assert_equal(actual: tuple[list[Tensor], State], wanted: tuple[list[Tensor], State]) -> None:
    for output, other in zip(actual[0], wanted[0], strict=True):
        torch.testing.assert_close(output, other, atol=1e-5, rtol=1e-5)
    for state, other_state in zip(actual[1], wanted[1], strict=True):
        torch.testing.assert_close(state, other_state, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([3, 5, 16, 20]), min_size=2, max_size=4),
    compressions,
    st.integers(1, 6),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
)
def test_equals_torch(
    sizes: list[int], compression: Compression | None, steps: int, sequences: int, started: bool, training: bool
) -> None:
    """The core equals LSTMs with the products of the factors, both in training and, with padded cells, in inference."""
    core = _core(sizes, compression)
    inputs = torch.randn(steps, sequences, sizes[0])
    state = [(torch.randn(1, sequences, n), torch.randn(1, sequences, n)) for n in sizes[1:]] if started else None
    wanted = _run(core.to_torch(), inputs, state)
    with torch.set_grad_enabled(training):
        _assert_equal(core.train(training)(inputs, state), wanted)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([3, 16, 20]), min_size=2, max_size=3), compressions)
def test_weights_come_back(sizes: list[int], compression: Compression | None) -> None:
    core = _core(sizes, compression)
    again = CoreLstm(list(core.weights().lstms.values()))
    for (name, value), (other_name, other) in zip(core.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other_name
        torch.testing.assert_close(value, other, atol=1e-6, rtol=1e-6)


def test_gradients_are_those_of_the_factors() -> None:
    """The gradients of W = L R are dL = dW R^T and dR = L^T dW, where dW is torch's."""
    core = _core([6, 8, 8], Compression(method="svd", rank=2, targets="all"))
    lstms = [lstm.requires_grad_(True).train() for lstm in core.to_torch()]
    inputs = torch.randn(5, 3, 6)
    core.train()(inputs)[0][-1].square().sum().backward()
    _run(lstms, inputs, None)[0][-1].square().sum().backward()  # type: ignore[no-untyped-call]
    for layer, lstm in zip(core.layers, lstms, strict=True):
        for target, name in (("input", "weight_ih_l0"), ("recurrent", "weight_hh_l0")):
            left, right = layer.matrices[target].parts  # type: ignore[union-attr, index]
            gradient = getattr(lstm, name).grad
            torch.testing.assert_close(left.grad, gradient @ right.T, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(right.grad, left.T @ gradient, atol=1e-5, rtol=1e-4)


def test_factors_and_zeros_stay_what_they_are_in_training() -> None:
    for compression, kind in (
        (Compression(method="svd", rank=2, targets="joint"), Factors),
        (Compression(method="prune", rank=2, targets="all"), Pruned),
    ):
        core = _core([6, 8], compression)
        before = core.weights()
        optimizer = torch.optim.SGD(core.parameters(), 0.1, weight_decay=0.1)
        core.train()(torch.randn(4, 2, 6))[0][-1].sum().backward()
        optimizer.step()
        for target, matrix in core.weights().lstms[0, 0].matrices.items():
            assert isinstance(matrix, kind) and matrix.size <= before.lstms[0, 0].matrices[target].size


def test_recurrent_weights_are_dropped_in_training_only() -> None:
    torch.manual_seed(0)
    core = CoreLstm.random([4, 64], weight_drop=0.5)
    inputs = torch.randn(6, 2, 4)
    first, second = (core.train()(inputs)[0][0] for _ in range(2))
    assert torch.equal(first[0], second[0])  # the first state is zero, so recurrent weights have no effect
    assert not torch.allclose(first[1:], second[1:])
    core.eval()
    assert torch.equal(core(inputs)[0][0], core(inputs)[0][0])
    weights = nn.functional.dropout(core.layers[0].matrices["recurrent"](), 0.5)  # type: ignore[index, operator]
    assert 0.4 < float((weights == 0).float().mean()) < 0.6


def test_the_state_goes_on() -> None:
    core = _core([5, 7], None)
    inputs = torch.randn(9, 2, 5)
    with torch.no_grad():
        (whole,), _ = core.eval()(inputs)
        (first,), state = core(inputs[:4])
        (second,), _ = core(inputs[4:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("counted", [True, False])
def test_inference_sees_what_training_changed(counted: bool) -> None:
    """PyTorch does not count writes through `.data`, as of moving averages, but `eval()` makes them effective."""
    core = _core([5, 7], Compression(method="svd", rank=2, targets="all"))
    inputs = torch.randn(3, 1, 5)
    with torch.no_grad():
        before = core.eval()(inputs)[0][0]
        for parameter in core.parameters():
            (parameter if counted else parameter.data).mul_(0.5)
        if not counted:
            core.eval()
        _assert_equal(core(inputs), _run(core.to_torch(), inputs, None))
    assert not torch.allclose(before, core(inputs)[0][0])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"targets": "projection"}, "targets: found projection"),
        ({"directions": "backward"}, "directions: found backward"),
        ({"rank": 9}, "forward layer 0 recurrent"),
        ({"rank": 7}, "6.4"),
        ({"layers": [2]}, "layers: found 2"),
        ({"distill": {"text": "a.txt"}}, "compression.distill: "),
        ({"calibration": "a.txt"}, "compression.calibration: "),
        ({"finetune": {"epochs": 0}}, "compression.finetune.epochs: found 0"),
        ({"finetune": {"steps": 1}}, "the key 'steps'"),
        ({"finetune": {"learning_rate": -1}}, "compression.finetune.learning_rate: found -1"),
    ],
)
def test_what_cannot_be_done(keys: dict[str, object], message: str) -> None:
    core = CoreLstm.random([20, 8])
    with pytest.raises(InputError) as error:
        compression = read_compression({"method": "svd", "rank": 2, "targets": "all"} | keys)
        check_compression(core.weights(), compression, language_model=True)
    assert message in str(error.value)


def test_all_targets_of_a_language_model_are_two() -> None:
    core = CoreLstm.random([20, 8])
    for targets, expected in (("all", {"input", "recurrent"}), ("joint", {JOINT})):
        compressed = compress_core(core, Compression(method="svd", rank=2, targets=targets))
        assert set(compressed.weights().lstms[0, 0].matrices) == expected


def test_a_method_that_looks_at_inputs_needs_some() -> None:
    core = CoreLstm.random([20, 8])
    with pytest.raises(InputError, match="method: whitened_svd"):
        compress_core(core, Compression(method="whitened_svd", rank=2, targets="all"))
    compress_core(core, Compression(method="whitened_svd", rank=2, targets="all"), [torch.randn(9, 2, 20)])


def test_a_budget_by_outputs_needs_inputs() -> None:
    core = CoreLstm.random([20, 8])
    with pytest.raises(InputError, match="allocation: outputs requires inputs"):
        compress_core(core, Compression(method="svd", targets="all", budget={"share": 0.5}))
    compress_core(core, Compression(method="svd", targets="all", budget={"share": 0.5}, allocation="matrices"))
    compress_core(core, Compression(method="svd", targets="all", budget={"share": 0.5}), [torch.randn(9, 2, 20)])


@pytest.mark.parametrize(
    "compression",
    [None, Compression(method="svd", rank=3, targets="all"), Compression(method="svd", rank=3, targets="joint")],
)
def test_without_machine_code(compression: Compression | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELMO_MF_NATIVE", "0")
    core, inputs = _core([5, 20, 16], compression).eval(), torch.randn(7, 3, 5)
    with torch.no_grad():
        _assert_equal(core(inputs), _run(core.to_torch(), inputs, None))


@pytest.mark.skipif(not supports("bfloat16"), reason="needs a processor with bfloat16 instructions")
@pytest.mark.parametrize("compression", [None, Compression(method="svd", rank=3, targets="all")])
def test_the_kernel_without_projection_in_bfloat16(compression: Compression | None) -> None:
    """The kernel rounds the products, but not the states."""
    core, inputs = _core([16, 32], compression).eval(), torch.randn(6, 4, 16)
    lstm = ProjectedLstm([core.weights().lstms[0, 0]], None, None, "bfloat16")
    with torch.no_grad():
        (wanted,), _ = core(inputs)
        outputs, _ = lstm(inputs.view(1, 24, 16), [4] * 6, None)
    torch.testing.assert_close(outputs.view(6, 4, 32), wanted, atol=0.02, rtol=0)
    assert not torch.equal(outputs, outputs.bfloat16().float())


def test_lstms_that_are_no_core() -> None:
    for lstm in (nn.LSTM(4, 4, bidirectional=True), nn.LSTM(4, 4, bias=False), nn.LSTM(4, 4, proj_size=2)):
        with pytest.raises(ValueError, match="one direction"):
            CoreLstm.from_torch([lstm])


def test_lstms_of_several_layers() -> None:
    torch.manual_seed(0)
    lstm = nn.LSTM(4, 6, num_layers=2)
    inputs = torch.randn(5, 2, 4)
    with torch.no_grad():
        wanted, _ = lstm(inputs)
        torch.testing.assert_close(CoreLstm.from_torch([lstm]).eval()(inputs)[0][-1], wanted, atol=1e-6, rtol=1e-5)
