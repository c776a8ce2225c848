"""Tests of the softmax on packed weights, in tiles, against PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from elmo_mf.bilm.runtime import supports
from elmo_mf.lm import PackedSoftmax


@pytest.mark.skipif(not supports("float32"), reason="needs oneDNN")
@pytest.mark.parametrize(("words", "rows"), [(1, 1), (7, 3), (29, 11), (30, 12), (1000, 1000)])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_equals_pytorchs(words: int, rows: int, scale: float) -> None:
    torch.manual_seed(0)
    weight, bias, outputs = scale * torch.randn(30, 16), torch.randn(30), torch.randn(12, 16)
    targets, packed = torch.randint(30, (12,)), PackedSoftmax(weight, bias, words, rows)
    expected = linear(outputs, weight, bias)
    torch.testing.assert_close(packed.logits(outputs.view(3, 4, 16)), expected.view(3, 4, 30), rtol=1e-5, atol=1e-4)
    loss = cross_entropy(expected.double(), targets, reduction="sum").float()
    torch.testing.assert_close(packed.loss(outputs, targets), loss, rtol=1e-5, atol=1e-5)
