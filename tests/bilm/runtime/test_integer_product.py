"""Products of 8-bit integers in machine code, against whole numbers of 64 bits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("llvmlite")

from elmo_mf.bilm.runtime import QuantizedLinear, supports
from elmo_mf.bilm.runtime._integer_product import MachineCodeIntegers, is_arm
from elmo_mf.bilm.runtime.kernel._processor import features
from elmo_mf.bilm.runtime.kernel.emit_integer_product import groups_of, kernel_with, multiply, weight_of
from elmo_mf.bilm.runtime_settings import use_settings

needs_int8 = pytest.mark.skipif(not supports("int8"), reason="needs a processor with int8 products")
needs_dot_products = pytest.mark.skipif("dotprod" not in features(), reason="needs an ARM processor with dot products")


@pytest.mark.parametrize("dot_product", [False, pytest.param(True, marks=needs_dot_products)])
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 70), st.integers(1, 70), st.integers(1, 4), st.integers(0, 99))
def test_sums_are_exact(dot_product: bool, rows: int, inputs: int, outputs: int, threads: int, seed: int) -> None:
    """Also of the numbers that are furthest from 0."""
    generator = torch.Generator().manual_seed(seed)
    numbers, weight = (
        (torch.randint(-140, 141, (count, inputs), generator=generator).clamp(-128, 127).to(torch.int8))
        for count in (rows, outputs)
    )
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    sums = multiply(numbers, groups_of(weight), kernel_with(dot_product))
    torch.set_num_threads(before)
    assert torch.equal(sums[:, :outputs].long(), numbers.long() @ weight.long().T)
    assert torch.equal(weight_of(groups_of(weight), outputs, inputs), weight)


def test_sums_of_the_longest_rows_are_exact() -> None:
    lowest = torch.full((2, 40_000), -128, dtype=torch.int8)
    assert multiply(lowest, groups_of(lowest), kernel_with(False))[:, :2].tolist() == [[40_000 * 128**2] * 2] * 2


@needs_int8
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_machine_code_equals_onednn(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    weight, x, bias = torch.randn(37, 90), torch.randn(6, 90), torch.randn(37)
    with use_settings(machine_code=False):
        onednn = QuantizedLinear(weight, bias, dtype)
    monkeypatch.setattr("elmo_mf.bilm.runtime._integer_product.is_arm", lambda: True)
    machine_code = QuantizedLinear(weight, bias, dtype)
    assert isinstance(machine_code._product, MachineCodeIntegers)
    assert torch.equal(machine_code.numbers(), onednn.numbers())
    torch.testing.assert_close(machine_code(x), onednn(x))


@needs_int8
def test_machine_code_is_for_arm() -> None:
    assert isinstance(QuantizedLinear(torch.ones(1, 1))._product, MachineCodeIntegers) == is_arm()
