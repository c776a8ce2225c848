"""Products of 8-bit integers: oneDNN's, or on ARM machine code with the instructions for dot products there."""

from __future__ import annotations

import platform
from typing import Protocol

import torch
from torch import Tensor

from elmo_mf.bilm.runtime_settings import default_settings


class IntegerProduct(Protocol):
    """The product with a fixed weight (out, in) of whole numbers, each output of which has a scale."""

    def __call__(self, whole: Tensor) -> Tensor:
        """Multiply whole numbers from -127 to 127 (rows, in), in float32, overwriting them; returns (rows, out)."""

    def weight(self) -> Tensor:
        """Return the weight, int8."""


def integer_product(weight: Tensor, scale: Tensor, dtype: torch.dtype) -> IntegerProduct:
    """Return what computes a product on this processor.

    Args:
        weight: (out, in), int8.
        scale: (out,).
        dtype: Type of the result.
    """
    if is_arm() and default_settings().may_compile():
        return MachineCodeIntegers(weight, scale, dtype)
    return _OneDnnIntegers(weight, scale, dtype)


def is_arm() -> bool:
    """Return whether this is a 64-bit ARM processor."""
    return platform.machine() in ("aarch64", "arm64")


class _OneDnnIntegers:
    def __init__(self, weight: Tensor, scale: Tensor, dtype: torch.dtype) -> None:
        self._weight = torch.ops.onednn.qlinear_prepack(weight.contiguous(), None)
        self._scale, self._dtype = scale, dtype
        self._zero_points = torch.zeros(len(weight), dtype=torch.int32)

    def __call__(self, whole: Tensor) -> Tensor:
        # unsigned, around 128: oneDNN has no fast product of other integers
        unsigned = whole.add_(128).to(torch.uint8)
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            unsigned, 1.0, 128, self._weight, self._scale, self._zero_points, None, 1.0, 0, self._dtype, "none", [], ""
        )
        return product

    def weight(self) -> Tensor:
        weight: Tensor = self._weight.to_dense()
        return weight.T


class MachineCodeIntegers:
    """See `kernel/emit_integer_product.py`. Sums are exact.

    Args:
        weight: See `integer_product`.
        scale: See `integer_product`.
        dtype: See `integer_product`.
    """

    def __init__(self, weight: Tensor, scale: Tensor, dtype: torch.dtype) -> None:
        from elmo_mf.bilm.runtime.kernel.emit_integer_product import groups_of

        self._groups, self._shape = groups_of(weight), weight.shape
        self._scale, self._dtype = scale, dtype

    def __call__(self, whole: Tensor) -> Tensor:
        """Multiply, see `IntegerProduct`."""
        from elmo_mf.bilm.runtime.kernel.emit_integer_product import integer_kernel, multiply

        sums = multiply(whole.to(torch.int8), self._groups, integer_kernel())[:, : self._shape[0]]
        return (sums * self._scale).to(self._dtype)

    def weight(self) -> Tensor:
        """Return the weight, see `IntegerProduct`."""
        from elmo_mf.bilm.runtime.kernel.emit_integer_product import weight_of

        return weight_of(self._groups, *self._shape)
