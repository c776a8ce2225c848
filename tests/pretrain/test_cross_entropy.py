"""Tests of the loss over many words against PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from elmo_mf.pretrain._cross_entropy import cross_entropy
from elmo_mf.pretrain.word_softmax import word_softmax
from tests.gpu import on_each_device


def _with_gradients(loss: Tensor, *inputs: Tensor) -> list[Tensor]:
    """Return the loss, and the gradients of three times the loss."""
    return [loss.detach(), *torch.autograd.grad(3 * loss, inputs)]


@given(
    n_rows=st.integers(0, 70), n_words=st.integers(1, 40), bias=st.booleans(), scale=st.sampled_from([0.1, 1, 300]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_values_and_gradients(n_rows: int, n_words: int, bias: bool, scale: float, seed: int) -> None:
    """Blocks have 16 rows; the last one may be shorter."""
    draw = torch.Generator().manual_seed(seed)
    make: Any = {"generator": draw, "dtype": torch.float64}
    states, weight = torch.randn(n_rows, 5, **make) * scale, torch.randn(n_words, 5, **make)
    inputs = [states, weight, *([torch.randn(n_words, **make)] if bias else [])]
    inputs = [one.requires_grad_() for one in inputs]
    words = torch.randint(n_words, (n_rows,), generator=draw)
    biases = inputs[2] if bias else None
    ours = _with_gradients(cross_entropy(inputs[0], inputs[1], words, biases, block_rows=16), *inputs)
    with torch.no_grad():
        torch.testing.assert_close(cross_entropy(inputs[0], inputs[1], words, biases, block_rows=16), ours[0])
    logits = nn.functional.linear(*inputs)
    theirs = _with_gradients(nn.functional.cross_entropy(logits, words, reduction="sum"), *inputs)
    torch.testing.assert_close(ours, theirs)


@on_each_device
def test_the_adaptive_softmax_is_pytorchs(device: str) -> None:
    """Parameters and losses are the same, so that one file serves both."""
    torch.manual_seed(3)
    ours = word_softmax("adaptive", 16, 12_000).to(device)
    theirs = nn.AdaptiveLogSoftmaxWithLoss(16, 12_000, [2000, 10_000], div_value=2.0).to(device)
    theirs.load_state_dict(ours.state_dict())
    states = torch.randn(64, 16, device=device).requires_grad_()
    for words in (
        torch.randint(12_000, (64,)),
        torch.randint(2000, (64,)),
        torch.tensor([1999, 2000, 9999, 10_000]).repeat(16),
    ):
        words = words.to(device)
        loss = ours(states, words)
        expected = -theirs(states, words).output.sum()
        parameters = [*zip(ours.parameters(), theirs.parameters(), strict=True)]
        gradients = torch.autograd.grad(loss, [states, *(pair[0] for pair in parameters)])
        other = torch.autograd.grad(expected, [states, *(pair[1] for pair in parameters)], materialize_grads=True)
        torch.testing.assert_close([loss, *gradients], [expected, *other], rtol=1e-4, atol=1e-5)


def test_the_sampled_softmax_is_evaluated_as_allennlps() -> None:
    """Its parameters are AllenNLP's, and losses without training are those of all words."""
    from allennlp.modules.sampled_softmax_loss import SampledSoftmaxLoss

    ours = word_softmax("sampled", 8, 300).eval()
    torch.nn.init.normal_(ours.get_parameter("softmax_b"))
    theirs = SampledSoftmaxLoss(300, 8, num_samples=20).eval()
    theirs.load_state_dict(ours.state_dict())
    states, words = torch.randn(500, 8), torch.randint(300, (500,))
    with torch.no_grad():
        torch.testing.assert_close(ours(states, words), theirs(states, words), rtol=1e-5, atol=1e-3)


def test_evaluation_computes_no_gradients() -> None:
    """Its only product is that of the logits."""
    softmax, states, words = word_softmax("full", 8, 30), torch.randn(5, 8).requires_grad_(), torch.randint(30, (5,))
    flops = []
    for training in (False, True):
        with torch.set_grad_enabled(training), FlopCounterMode(display=False) as counter:
            softmax(states, words)
        flops.append(counter.get_total_flops())
    assert flops[0] == 2 * 5 * 8 * 30 < flops[1]


@pytest.mark.parametrize("kind", ["adaptive", "full"])
def test_mixed_precision_comes_close(kind: Any) -> None:
    torch.manual_seed(3)
    softmax, words = word_softmax(kind, 16, 3000), torch.randint(3000, (300,))
    states = torch.randn(300, 16).requires_grad_()
    inputs = [states, *softmax.parameters()]
    expected = _with_gradients(softmax(states, words), *inputs)
    with torch.autocast("cpu", torch.bfloat16):
        loss = softmax(states, words)
    assert loss.dtype == torch.float32
    for one, other in zip(_with_gradients(loss, *inputs), expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() <= 0.01 * other.norm()
