"""What a GPU gets in place of a long sum and of a convolution."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from elmo_mf.bilm.char_cnn import convolve_as_product
from elmo_mf.bilm.stacked_linear import bmm_in_parts

few = st.integers(1, 5)


@given(few, few, few, few, few, st.integers(0, 99))
def test_a_sum_in_parts(groups: int, rows: int, parts: int, each: int, outputs: int, seed: int) -> None:
    torch.manual_seed(seed)
    inputs, matrices = torch.randn(groups, rows + 1, parts * each), torch.randn(groups, parts * each, outputs)
    some = inputs[:, :rows]  # not in one piece of memory, as where sequences have ended
    torch.testing.assert_close(bmm_in_parts(some, matrices, parts), torch.bmm(some, matrices), atol=1e-5, rtol=0)


@given(few, few, few, few, few, st.integers(0, 99))
def test_a_convolution_as_a_product(tokens: int, dim: int, filters: int, width: int, windows: int, seed: int) -> None:
    torch.manual_seed(seed)
    convolution = torch.nn.Conv1d(dim, filters, width)
    embedded = torch.randn(tokens, width + windows - 1, dim).transpose(1, 2)
    expected = convolution(embedded)
    actual = convolve_as_product(convolution, embedded)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)
    for one, other in zip(
        torch.autograd.grad(actual.square().sum(), [*convolution.parameters()]),
        torch.autograd.grad(expected.square().sum(), [*convolution.parameters()]),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)
