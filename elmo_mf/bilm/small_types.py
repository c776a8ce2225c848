"""Parameters in the smallest type that holds their numbers exactly: int8 or bfloat16 where they were rounded to it.

A parameter in int8 has its largest magnitudes beside it, one for each output, under its own name and `LARGEST`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from elmo_mf.errors import InputError, instead_of

LARGEST = "_largest"
"""End of the name of the largest magnitudes, float32, which broadcast to the parameter."""
_MOST = 127


def to_int8(numbers: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Round numbers to int8, in which 127 is the largest magnitude along an axis.

    Args:
        numbers: The numbers, float32.
        dim: The axis whose numbers share a scale, that of the inputs.

    Returns:
        The whole numbers, and the largest magnitudes, of length 1 in the axis.
    """
    largest = numbers.abs().amax(dim=dim, keepdim=True)
    return (numbers / scale_of(largest)).round_().to(torch.int8), largest


def from_int8(whole: Tensor, largest: Tensor) -> Tensor:
    """Return the numbers that `to_int8` rounded, which it gives the same whole numbers again.

    The largest magnitudes are exact: the product of 127 and the scale may be rounded to another number, which would
    have another scale.

    Args:
        whole: See `to_int8`.
        largest: See `to_int8`.
    """
    return torch.where(whole.abs() == _MOST, largest * whole.sign(), whole * scale_of(largest))


def scale_of(largest: Tensor) -> Tensor:
    """Return the divisor that brings numbers of these magnitudes into -127 to 127."""
    return (largest / _MOST).clamp_min_(1e-30)


def in_small_types(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the parameters that lose nothing to int8 or bfloat16; a `Bilm` loads them as they were.

    Args:
        state: Parameters by name.

    Returns:
        The same, and the largest magnitudes of those in int8.
    """
    small: dict[str, Tensor] = {}
    for name, numbers in state.items():
        forms = _exact_forms(numbers) if numbers.dtype == torch.float32 else [(numbers,)]
        kept, *largest = min(forms, key=lambda form: sum(tensor.nbytes for tensor in form))
        small[name] = kept
        small |= {f"{name}{LARGEST}": magnitudes for magnitudes in largest}
    return small


def _exact_forms(numbers: Tensor) -> list[tuple[Tensor, ...]]:
    """Return the numbers in each type that holds them; in int8 with a scale for each row or for each column."""
    forms: list[tuple[Tensor, ...]] = [(numbers,)]
    shorter = numbers.bfloat16()
    if torch.equal(shorter.float(), numbers):
        forms.append((shorter,))
    for dim in (-1, -2) if numbers.dim() > 1 and numbers.numel() else ():
        rounded = to_int8(numbers, dim)
        if torch.equal(from_int8(*rounded), numbers):
            forms.append(rounded)
    return forms


def load_small_types(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Convert a module's own parameters in int8 to float32; a hook that is called before a state is loaded.

    Args:
        module: The module.
        state: The state, in which the parameters are replaced.
        prefix: Beginning of the names of the module's parameters.

    Raises:
        InputError: The largest magnitudes of a parameter are missing, of another shape, negative or not finite.
    """
    for name in module._parameters:
        key = prefix + name
        whole = state.get(key)
        if isinstance(whole, Tensor) and whole.dtype == torch.int8:
            state[key] = from_int8(whole, _checked(state.pop(f"{key}{LARGEST}", None), whole, key))


def _checked(largest: Any, whole: Tensor, key: str) -> Tensor:
    shapes = [(*whole.shape[:dim], 1, *whole.shape[dim:][1:]) for dim in (-2, -1)[-whole.dim() :]]
    if not isinstance(largest, Tensor):
        found = None if largest is None else type(largest).__name__
    elif largest.dtype != torch.float32 or tuple(largest.shape) not in shapes:
        found = f"{largest.dtype} {tuple(largest.shape)}"
    elif not (largest.isfinite() & (largest >= 0)).all():
        found = "numbers that are negative or not finite"
    else:
        return largest
    expected = f"the largest magnitudes of {tuple(whole.shape)} numbers in int8"
    raise InputError("weights", f"{key}{LARGEST}", instead_of(expected, found))
