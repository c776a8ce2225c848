"""Matrix products for inference on a CPU, with weights in oneDNN's own layout, in float32, bfloat16 or int8.

PyTorch's products reorder a weight at every call, or read it in its plain layout; for a few rows times a wide matrix,
as in a step of an LSTM, both are much slower than the processor could be. These products have no gradients.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Literal, NoReturn, Protocol

import torch
from torch import Tensor

from elmo_mf.bilm.choices import PRECISIONS as PRECISIONS
from elmo_mf.bilm.choices import Precision as Precision
from elmo_mf.bilm.runtime._integer_product import integer_product, is_arm
from elmo_mf.bilm.small_types import from_int8, scale_of, to_int8
from elmo_mf.errors import InputError

Activation = Literal["none", "sigmoid", "tanh"]


class Product(Protocol):
    """`x @ weight.T + bias` for a fixed weight (out, in)."""

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply `x` (rows, in) and add the bias; returns (rows, out)."""

    def plus(self, x: Tensor, add: Tensor) -> Tensor:
        """Multiply `x` (rows, in) and add `add` (rows, out) instead of the bias."""

    def numbers(self) -> Tensor:
        """Return the weight (out, in) in float32; a product with it is the same."""


class PackedLinear:
    """A product whose weight is kept in oneDNN's blocked layout.

    Args:
        weight: (out, in), float32 or bfloat16, which is also the type of the result.
        bias: (out,) of any type; None for no bias.
        rows: Typical number of rows of `x`, for which the layout is chosen. Defaults to 16.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, rows: int = 16) -> None:
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
        self.bias = None if bias is None else bias.to(weight.dtype).contiguous()
        self._rows = rows

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedLinear, (self.weight.to_dense(), self.bias, self._rows)

    def __call__(self, x: Tensor, activation: Activation = "none") -> Tensor:
        """Multiply `x` (rows, in), add the bias and apply an activation; returns (rows, out)."""
        x = x.to(self.weight.dtype)
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, activation, [], "")
        return result

    def plus(self, x: Tensor, add: Tensor) -> Tensor:
        """Multiply `x` (rows, in) and add `add` (rows, out) instead of the bias."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, add, self.weight, None, "add")
        return result

    def numbers(self) -> Tensor:
        """Return the weight, see `Product`."""
        weight: Tensor = self.weight.to_dense()
        return weight.float()


class QuantizedLinear:
    """A product of 8-bit integers.

    Each output of the weight has a scale, and so has each row of `x`, computed in the call, so that no row depends on
    another.

    Args:
        weight: (out, in), float32.
        bias: (out,); None for zeros.
        dtype: Type of the result. Defaults to float32.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, dtype: torch.dtype = torch.float32) -> None:
        whole, self._largest = to_int8(weight, 1)
        self._product = integer_product(whole, scale_of(self._largest).view(-1), dtype)
        self.bias = (torch.zeros(len(weight)) if bias is None else bias).to(dtype)
        self.dtype = dtype

    def __reduce__(self) -> tuple[Any, ...]:
        return QuantizedLinear, (self.numbers(), self.bias, self.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply `x` (rows, in) and add the bias; returns (rows, out)."""
        return self.plus(x, self.bias)

    def plus(self, x: Tensor, add: Tensor) -> Tensor:
        """Multiply `x` (rows, in) and add `add` (rows, out) instead of the bias."""
        x = x.float()
        scale = scale_of(x.abs().amax(dim=1, keepdim=True))
        product = self._product((x / scale).round_())
        return torch.addcmul(add, product, scale.to(self.dtype))

    def numbers(self) -> Tensor:
        """Return the weight, see `Product`."""
        return from_int8(self._product.weight(), self._largest)


def unquantized(precision: Precision) -> torch.dtype:
    """Return the type of all weights that are not integers: with `int8` bfloat16 too, if the processor has it."""
    uses_bf16 = precision == "bfloat16" or (precision == "int8" and supports("bfloat16"))
    return torch.bfloat16 if uses_bf16 else torch.float32


def tanh(values: Tensor, onednn_numbers: int) -> Tensor:
    """Compute `torch.tanh` for contiguous float32 on a CPU.

    Args:
        values: The values, of any shape.
        onednn_numbers: Number of values from which on it is oneDNN's tanh, twice as fast, applied after a product with
            the identity matrix; only for multiples of 16.
    """
    if values.numel() < onednn_numbers or values.numel() % 16:
        return values.tanh()
    return _identity()(values.view(-1, 16), "tanh").view(values.shape)


@cache
def _identity() -> PackedLinear:
    with torch.inference_mode(False):
        return PackedLinear(torch.eye(16), rows=1024)


def packs(inputs: Tensor, parameters: Iterable[Tensor]) -> bool:
    """Return whether packed products can replace those with `parameters`: in float32 on a CPU, without gradients."""
    recorded = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (inputs, *parameters))
    return not recorded and inputs.device.type == "cpu" and inputs.dtype == torch.float32 and supports("float32")


def reject_gradients() -> NoReturn:
    """Refuse a call that needs gradients of weights that are kept in a lower precision only.

    Raises:
        InputError: Always.
    """
    expected = "torch.no_grad(), requires_grad_(False), or an encoder that was loaded with keep_float32=True"
    found = "a call that needs gradients of weights that are kept in this precision only"
    raise InputError("precision", f"found {found}, expected {expected}")


def full_precision() -> AbstractContextManager[None]:
    """Switch `torch.autocast` off, because packed products have types of their own."""
    return torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()


@cache
def supports(precision: Precision) -> bool:
    """Return whether this processor and this PyTorch have fast products of a precision, tested on a small one."""
    if not torch.backends.mkldnn.is_available() or not _has_instructions(precision):  # type: ignore[no-untyped-call]
        return False
    generator = torch.Generator().manual_seed(0)
    weight, x = torch.rand(32, 16, generator=generator), torch.rand(3, 16, generator=generator)
    try:
        with torch.inference_mode(), full_precision():
            if precision == "int8":
                product = QuantizedLinear(weight)(x)
            else:
                dtype = getattr(torch, precision)
                product = PackedLinear(weight.to(dtype))(x.to(dtype), "none").float()
            expected = x @ weight.T
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return torch.allclose(product, expected, rtol=1e-5 if precision == "float32" else 0.02)


def _has_instructions(precision: Precision) -> bool:
    cpu = torch.cpu
    if precision == "bfloat16":
        multiplies_on_arm: bool = is_arm() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return multiplies_on_arm or cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported()
    return precision == "float32" or is_arm() or cpu._is_vnni_supported()
