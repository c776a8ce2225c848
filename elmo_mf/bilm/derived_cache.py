"""What is made from parameters, and must be made again when they change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class DerivedCache(Generic[T]):
    """Keeps one thing for as long as the parameters it was made from stay as they are. A copy starts empty."""

    def __init__(self) -> None:
        self._made: T | None = None
        self._from: tuple[object, ...] = ()

    def of(self, parameters: Iterable[Tensor], make: Callable[[], T], copied: bool = True) -> T:
        """What `make` gave last, or gives now if the parameters are others.

        `copied`: it has copies of their values; else it reads them where they lie, whatever they are.
        """
        found = fingerprint(parameters) if copied else tuple(parameter.data_ptr() for parameter in parameters)
        if self._made is None or found != self._from:
            self._made, self._from = make(), found
        return self._made

    def __reduce__(self) -> tuple[Any, ...]:
        return DerivedCache, ()


def fingerprint(parameters: Iterable[Tensor]) -> tuple[object, ...]:
    """Differs where a parameter was replaced or written to.

    PyTorch counts writes, but not those through `.data`, as AllenNLP's moving averages make them; so of what can be
    trained a few values are looked at too; together, since each look waits for a GPU.
    """
    known = list(parameters)
    found: list[object] = []
    for parameter in known:
        found += [parameter.data_ptr(), 0 if parameter.is_inference() else parameter._version]
    samples = [one.detach().flatten()[:: one.numel() // _SAMPLES + 1] for one in known if one.requires_grad]
    return tuple(found + (torch.cat(samples).tolist() if samples else []))


_SAMPLES = 16
