"""Inference on a GPU in graphs of several steps; how the steps are put together is tested on any machine."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from elmo_mf.bilm.lstm import ProjectedLstm
from elmo_mf.bilm.packing import Packing
from elmo_mf.bilm.runtime._choice import suits_graphs
from elmo_mf.bilm.runtime._cuda_graphs import CudaGraphLstm
from elmo_mf.bilm.runtime_settings import Launches, RuntimeSettings
from tests.bilm.layers import DENSE, FACTORED, STRUCTURES, Layer, Ranks, assert_close, plain_layer
from tests.bilm.reference import PlainWeights
from tests.gpu import needs_gpu, on_each_device

layers = st.builds(
    Layer,
    n=st.sampled_from([4, 5, 16]),
    p=st.sampled_from([3, 8]),
    ranks=st.sampled_from([DENSE, FACTORED]),
    clips=st.tuples(*[st.sampled_from([None, 0.1, 3.0])] * 2),
    scale=st.sampled_from([0.5, 2.0]),
    **STRUCTURES,
)
SHORT = RuntimeSettings(graph_max_steps=16)
batches = st.lists(st.integers(1, 3 * SHORT.graph_steps), min_size=1, max_size=6)


def test_only_small_batches_and_not_against_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELMO_MF_CUDA_GRAPHS", raising=False)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    gpu, settings = torch.device("cuda"), RuntimeSettings(graph_max_sequences=128)
    assert suits_graphs(gpu, 128, settings) and not suits_graphs(gpu, 129, settings)
    assert not suits_graphs(torch.device("cpu"), 1, settings)
    monkeypatch.setenv("ELMO_MF_CUDA_GRAPHS", "0")
    assert not suits_graphs(gpu, 1, settings)


def _assert_plain(
    layer: Layer, lengths: list[int], results: tuple[Tensor, tuple[Tensor, Tensor]], tolerance: float
) -> None:
    expected = plain_layer(layer, *layer.batch(lengths), [PlainWeights.of(weights) for weights in layer.weights()])
    for one, other in zip((results[0], *results[1]), expected, strict=True):
        assert_close(one.cpu(), other, tolerance)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(layers, batches, batches)
def test_equals_the_plain_formula(layer: Layer, first: list[int], second: list[int]) -> None:
    """Twice, since a batch must leave nothing to the next; in float64, since rounding grows over the steps."""
    lstm = cast(ProjectedLstm, layer.build().double().groups[0])
    graphed = CudaGraphLstm(lstm, SHORT, capture=lambda launches: launches)
    for lengths in (first, second):
        inputs, sizes, (h, c) = layer.batch(lengths)
        with torch.no_grad():
            _assert_plain(layer, lengths, graphed(inputs.double(), sizes, (h.double(), c.double())), 1e-10)


def test_one_graph_serves_batches_of_its_size_and_below() -> None:
    captured = []

    def capture(launches: Launches) -> Launches:
        captured.append(launches)
        return launches

    layer = Layer(16, 8, FACTORED, (3.0, 3.0), 1.0)
    graphed = CudaGraphLstm(cast(ProjectedLstm, layer.build().groups[0]), SHORT, capture)
    for batch, graphs_so_far in ((5, 1), (8, 1), (3, 2), (4, 2), (1, 3)):
        with torch.inference_mode(batch % 2 == 0):
            graphed(*layer.batch([4] * batch))
        assert len(captured) == graphs_so_far


@needs_gpu
@pytest.mark.parametrize("ranks", [DENSE, FACTORED])
@pytest.mark.parametrize("lengths", [[1], [20], [20, 17, 9, 8, 1], [12] * 160])
def test_on_a_gpu(ranks: tuple[Ranks, Ranks], lengths: list[int]) -> None:
    """In graphs and, for more sequences, without."""
    layer = Layer(64, 16, ranks, (3.0, 3.0), 1.0)
    inputs, sizes, (h, c) = layer.batch(lengths)
    module = layer.build().cuda()
    for _ in range(2):
        with torch.inference_mode():
            _assert_plain(layer, lengths, module(inputs.cuda(), sizes, (h.cuda(), c.cuda())), 1e-5)


@needs_gpu
def test_changed_parameters_on_a_gpu() -> None:
    layer = Layer(64, 16, FACTORED, (3.0, 3.0), 1.0)
    inputs, sizes, (h, c) = layer.batch([9, 4])
    module = layer.build().cuda()

    def run() -> Tensor:
        with torch.no_grad():
            return cast(Tensor, module(inputs.cuda(), sizes, (h.cuda(), c.cuda()))[0]).clone()

    before = run()
    lstm = cast(ProjectedLstm, module.groups[0])
    lstm.recurrent.left = torch.nn.Parameter(2 * lstm.recurrent.left.detach())
    after = run()
    assert (after - before).abs().max() > 1e-3
    expected = layer.build().cuda()
    cast(ProjectedLstm, expected.groups[0]).recurrent.left.data.mul_(2)
    torch.testing.assert_close(after.cpu(), _run_cpu(expected.cpu(), layer), atol=1e-5, rtol=0)


def _run_cpu(module: torch.nn.Module, layer: Layer) -> Tensor:
    with torch.no_grad():
        return cast(Tensor, module(*layer.batch([9, 4]))[0])


@on_each_device
def test_equal_to_allennlp_on_the_same_device(device: str) -> None:
    from allennlp.modules.elmo_lstm import ElmoLstm

    layer = Layer(64, 16, DENSE, (3.0, 3.0), 1.0)
    theirs = ElmoLstm(16, 16, 64, 1, memory_cell_clip_value=3.0, state_projection_clip_value=3.0).to(device).eval()
    with torch.no_grad():
        for name, weights in zip(("forward_layer_0", "backward_layer_0"), layer.weights(), strict=True):
            i, g, f, o = torch.from_numpy(weights.bias).chunk(4)
            cell = getattr(theirs, name)
            cell.input_linearity.weight.copy_(_ifgo(torch.from_numpy(weights.matrices["input"])))
            cell.state_linearity.weight.copy_(_ifgo(torch.from_numpy(weights.matrices["recurrent"])))
            cell.state_linearity.bias.copy_(torch.cat([i, f + 1, g, o]))
            cell.state_projection.weight.copy_(torch.from_numpy(weights.matrices["projection"]))
    packing = Packing.of(torch.tensor([9, 9]))
    inputs = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0))
    packed = packing.pack(inputs)
    with torch.inference_mode():
        ours = layer.build().to(device)(
            torch.stack([packed, packed[packing.flip]]).to(device), packing.batch_sizes, None
        )[0]
        expected = theirs(inputs.to(device), torch.ones(2, 9, dtype=torch.bool).to(device))[0]
    vectors = torch.cat([ours[0].cpu(), ours[1].cpu()[packing.flip]], dim=1)
    torch.testing.assert_close(packing.unpack(vectors.unsqueeze(0))[0], expected.cpu(), atol=1e-5, rtol=0)


def _ifgo(rows: Tensor) -> Tensor:
    i, g, f, o = rows.chunk(4)
    return torch.cat([i, f, g, o])
