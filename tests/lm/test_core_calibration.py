"""Tests of a core's input covariances, activation errors and losses against plain loops."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import nn

from elmo_mf.bilm.lstm import ProjectedLstm
from elmo_mf.bilm.weights import BilmWeights, Factors
from elmo_mf.lm import CoreLstm, compress_core, core_activation_error, core_input_covariances
from elmo_mf.lm._core_calibration import CoreProbe
from elmo_mf.records import Compression


@pytest.fixture
def core() -> CoreLstm:
    torch.manual_seed(0)
    return CoreLstm.random([5, 7, 8, 6]).eval()


def test_moments(core: CoreLstm) -> None:
    """Input covariances equal E[y y^T] of y = [x_t; h_{t-1}] over batches that continue each other."""
    text = torch.randn(9, 3, 5)
    by_layer = core_input_covariances(core, [text[:4], text[4:7], text[7:]])
    layer_inputs = text
    for index, lstm in enumerate(core.to_torch()):
        cell = nn.LSTMCell(lstm.input_size, lstm.hidden_size)
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in lstm.state_dict().items()})
        h = c = torch.zeros(3, lstm.hidden_size)
        rows, outputs = [], []
        for x in layer_inputs:
            rows.append(torch.cat([x, h], dim=1))
            h, c = cell(x, (h, c))
            outputs.append(h)
        seen = torch.cat(rows).detach().double().numpy()
        covariances, d = by_layer[0, index], lstm.input_size
        np.testing.assert_allclose(covariances.gates, seen.T @ seen / len(seen), atol=1e-6)
        np.testing.assert_allclose(covariances.of("input"), covariances.gates[:d, :d])
        np.testing.assert_allclose(covariances.of("recurrent"), covariances.gates[d:, d:])
        assert covariances.of("joint").shape == (d + lstm.hidden_size,) * 2
        layer_inputs = torch.stack(outputs).detach()


def test_whitened_factors_give_what_the_matrix_gives(core: CoreLstm) -> None:
    """If the inputs lie in a subspace, whitened SVD of the subspace's dimension has no error; plain SVD has."""
    basis = torch.randn(2, 5)
    text = [torch.randn(20, 4, 2) @ basis for _ in range(3)]
    errors = {}
    for method in ("svd", "whitened_svd"):
        compression = Compression(
            method=method, rank=2, targets="input", layers=[0], settings={} if method == "svd" else {"ridge": 1e-9}
        )
        errors[method] = core_activation_error(core, compress_core(core, compression, text), text).overall
    assert errors["whitened_svd"] < 1e-3 < errors["svd"]


def test_activation_error(core: CoreLstm) -> None:
    text = [torch.randn(6, 2, 5), torch.randn(3, 2, 5)]
    assert core_activation_error(core, core, text).to_dict() == {"layers": [0, 0, 0], "all": 0}
    compressed = compress_core(core, Compression(method="svd", rank=2, targets="all"))
    error = core_activation_error(core, compressed, text)
    with torch.no_grad():
        wanted, outputs = (model(torch.cat(text))[0] for model in (core, compressed))
    expected = [float((b - a).norm() / a.norm()) for a, b in zip(wanted, outputs, strict=True)]
    np.testing.assert_allclose(error.layers, expected, rtol=1e-4)
    assert error.overall == pytest.approx(np.sqrt(np.mean(np.square(expected))), rel=1e-4)


def test_factors_in_order_lose_less(core: CoreLstm) -> None:
    text = [torch.randn(40, 8, 5) for _ in range(3)]
    plain, in_order = (
        core_activation_error(
            core,
            compress_core(core, Compression(method="whitened_svd", rank=3, targets="all", inputs=inputs), text),
            text,
        )
        for inputs in ("dense", "compressed")
    )
    assert in_order.layers[0] == pytest.approx(plain.layers[0], rel=0.05)
    assert in_order.layers[-1] < plain.layers[-1]


def test_moments_of_other_weights(core: CoreLstm) -> None:
    text = torch.randn(9, 3, 5)
    parts = [text[:4], text[4:]]
    small = compress_core(core, Compression(method="svd", rank=2, targets="all")).weights()
    probe = CoreProbe(core, core.weights(), parts)
    for layer in range(3):
        paired = probe.paired_covariances(small, layer)[0, layer]
        compressed = core_input_covariances(CoreLstm(list(small.lstms.values())), parts)[0, layer]
        np.testing.assert_allclose(paired.compressed.gates, compressed.gates, atol=1e-6)
        with torch.no_grad():
            x, y = (
                ([text, *model(text)[0]])[layer].flatten(0, 1) for model in (core, CoreLstm([*small.lstms.values()]))
            )
        expected = (x.double().T @ y.double() / len(x)).numpy()
        np.testing.assert_allclose(paired.cross.of("input"), expected, atol=1e-6)


@pytest.mark.parametrize("layers", [[0], [1], [2], [0, 2], [1, 2]])
def test_the_loss_is_that_of_what_the_softmax_reads(layers: list[int], core: CoreLstm) -> None:
    """The loss is measured by running the layers from the first changed one on."""
    text = [torch.randn(6, 2, 5), torch.randn(3, 2, 5)]
    dense = core.weights()
    small = compress_core(core, Compression(method="svd", rank=2, targets="all", layers=layers)).weights().lstms
    mixed = BilmWeights({}, {(0, n): small[0, n] if n in layers else dense.lstms[0, n] for n in range(3)})
    expected = core_activation_error(core, CoreLstm(list(mixed.lstms.values())), text).layers[-1] ** 2
    probe = CoreProbe(core, dense, text)
    assert probe.loss(dense) == 0
    with patch.object(ProjectedLstm, "forward", autospec=True, side_effect=ProjectedLstm.forward) as forward:
        assert probe.loss(mixed) == pytest.approx(expected, rel=1e-5)
    assert forward.call_count == len(text) * (3 - layers[0])


def test_a_budget_goes_to_what_the_last_layer_hears() -> None:
    """A recurrent matrix that hardly affects the outputs gets a low rank."""
    torch.manual_seed(0)
    wide = CoreLstm.random([12, 16, 16])
    with torch.no_grad():
        wide.get_parameter("layers.0.matrices.recurrent.parts.0").mul_(0.01)
    text = [torch.randn(20, 4, 12)]
    ranks = {}
    for allocation in ("outputs", "matrices"):
        small = compress_core(
            wide, Compression(method="svd", targets="all", budget={"share": 0.5}, allocation=allocation), text
        )
        matrix = small.weights().lstms[0, 0].matrices["recurrent"]
        assert isinstance(matrix, Factors)
        ranks[allocation] = matrix.rank
    assert ranks["outputs"] == 1 < ranks["matrices"]
