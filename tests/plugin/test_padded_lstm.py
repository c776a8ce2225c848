"""Tests of the LSTM of task models against AllenNLP's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from allennlp.modules.seq2seq_encoders import LstmSeq2SeqEncoder

from elmo_mf.plugin.padded_lstm import PaddedLstm


def _both(layers: int = 1) -> tuple[LstmSeq2SeqEncoder, PaddedLstm]:
    """Return AllenNLP's encoder and ours with the same parameters."""
    torch.manual_seed(0)
    theirs = LstmSeq2SeqEncoder(5, 4, num_layers=layers, bidirectional=True)
    ours = PaddedLstm(5, 4, num_layers=layers)
    for name, value in theirs._module.named_parameters():
        kind, layer = name.removesuffix("_reverse").rsplit("_l", 1)
        place = "_backward_layers" if name.endswith("_reverse") else "_forward_layers"
        ours.get_parameter(f"{place}.{layer}.{kind}_l0").data.copy_(value)
    return theirs, ours


@pytest.mark.parametrize("layers", [1, 2])
def test_outputs_and_gradients_are_allennlps(layers: int) -> None:
    """Sequences of all lengths, one without any tokens, and steps that none reaches."""
    theirs, ours = _both(layers)
    mask = torch.arange(8) < torch.tensor([[3], [7], [1], [0], [6]])
    values = torch.randn(5, 8, 5)
    results = []
    for encoder in (theirs, ours):
        inputs = values.clone().requires_grad_()
        outputs = encoder(inputs, mask)
        (outputs * torch.linspace(-1, 1, 8)).sin().sum().backward()
        results.append((outputs.detach(), inputs.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    for name, value in theirs._module.named_parameters():
        kind, layer = name.removesuffix("_reverse").rsplit("_l", 1)
        place = "_backward_layers" if name.endswith("_reverse") else "_forward_layers"
        gradient = ours.get_parameter(f"{place}.{layer}.{kind}_l0").grad
        torch.testing.assert_close(gradient, value.grad, atol=1e-5, rtol=1e-5)


def test_sequences_without_padding() -> None:
    theirs, ours = _both()
    inputs = torch.randn(2, 3, 5)
    torch.testing.assert_close(ours(inputs), theirs(inputs, torch.ones(2, 3, dtype=torch.bool)), atol=1e-6, rtol=1e-6)


def test_dropout_is_between_layers() -> None:
    inputs = torch.ones(1, 4, 5)
    one, two = PaddedLstm(5, 4, 1, dropout=0.5), PaddedLstm(5, 4, 2, dropout=0.5)
    assert torch.equal(one(inputs), one(inputs))
    assert not torch.equal(two(inputs), two(inputs))
    two.eval()
    assert torch.equal(two(inputs), two(inputs))


def test_training_in_bfloat16_rounds_products_alone() -> None:
    """Outputs in training are within bfloat16's precision; parameters, gradients and evaluation are in float32."""
    torch.manual_seed(0)
    exact = PaddedLstm(5, 16, 2)
    rounded = PaddedLstm(5, 16, 2, training_precision="bfloat16")
    rounded.load_state_dict(exact.state_dict())
    inputs = torch.randn(3, 6, 5, requires_grad=True)
    one, other = exact(inputs), rounded(inputs)
    assert other.dtype == torch.float32
    torch.testing.assert_close(other, one, atol=2e-2, rtol=0)
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        assert not torch.equal(one, other)
    other.sum().backward()
    assert all(value.grad.dtype == torch.float32 for value in rounded.parameters())
    assert torch.equal(exact.eval()(inputs), rounded.eval()(inputs))


@pytest.mark.parametrize("setting", [{"bidirectional": False}, {"training_precision": "float16"}])
def test_invalid_settings_are_rejected(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        PaddedLstm(5, 4, **setting)
