"""Values derived from a module's parameters, kept until a parameter changes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

T = TypeVar("T")


class DerivedCache(nn.Module, Generic[T]):
    """Keeps one value that is derived from parameters, such as packed copies of weights.

    A change of a parameter is detected exactly, without looking at its numbers: PyTorch counts the in-place writes to a
    tensor (optimizer steps, `load_state_dict`, edits under `torch.no_grad`), and a parameter that was replaced, or
    moved by `.to()`, has another storage. PyTorch does not count the writes of fused optimizers; a hook in this module
    does.

    PyTorch does not count writes through `parameter.data` (`parameter.data.copy_(...)`, as in AllenNLP's moving
    averages), through a NumPy array that shares the parameter's memory, or to an inference tensor. `train()` and
    `eval()` therefore drop a value that is derived from trainable parameters, and `clear_derived_caches` drops every
    value.

    The cache is a submodule without parameters, so that `train()` and `clear_derived_caches` reach it. It adds nothing
    to a state dict, and a copied or unpickled cache is empty.
    """

    def __init__(self) -> None:
        super().__init__()
        self._entry: _Entry[T] | None = None

    def get(self, parameters: Iterable[Tensor], build: Callable[[], T], in_place: bool = False) -> T:
        """Return the kept value, or build it if there is none or a parameter has changed.

        Args:
            parameters: The tensors that the value is derived from.
            build: Derives the value.
            in_place: Whether the value references the parameters instead of copying them, and therefore stays valid
                after writes. Defaults to False.

        Returns:
            The value.
        """
        tensors = tuple(parameters)
        entry = self._entry
        if entry is None or not entry.is_current(tensors):
            storages = tuple(weakref.ref(tensor.untyped_storage()) for tensor in tensors)
            # the states before `build`, which may itself take long
            states = tuple(_state(tensor, in_place) for tensor in tensors)
            copies_trainable = not in_place and any(tensor.requires_grad for tensor in tensors)
            entry = self._entry = _Entry(build(), storages, states, in_place, copies_trainable)
        return entry.value

    def clear(self) -> None:
        """Drop the value."""
        self._entry = None

    def train(self, mode: bool = True) -> DerivedCache[T]:
        """Drop the value if it is derived from trainable parameters; see `torch.nn.Module.train`.

        Args:
            mode: Training mode if True, evaluation mode otherwise. Defaults to True.

        Returns:
            The module itself.
        """
        if self._entry is not None and self._entry.copies_trainable:
            self.clear()
        return super().train(mode)

    def __reduce__(self) -> tuple[Any, ...]:
        return DerivedCache, ()


def clear_derived_caches(module: nn.Module) -> None:
    """Drop all values that `module` and its submodules have derived from their parameters.

    Call it after a write to a parameter that PyTorch cannot count; see `DerivedCache`.

    Example:
        >>> from elmo_mf import Bilm
        >>> from elmo_mf.bilm import clear_derived_caches
        >>> from elmo_mf.resources import demo_options, demo_weights
        >>> bilm = Bilm.from_files(demo_options(), demo_weights())
        >>> before = bilm.embed([["A", "dog"]])[0]
        >>> _ = bilm.char_cnn.projection.bias.data.add_(1)
        >>> clear_derived_caches(bilm)
        >>> float(abs(bilm.embed([["A", "dog"]])[0] - before).max()) > 0.5
        True
    """
    for part in module.modules():
        if isinstance(part, DerivedCache):
            part.clear()


def _count_fused_writes(optimizer: torch.optim.Optimizer, _args: object, _kwargs: object) -> None:
    for group in optimizer.param_groups:
        if group.get("fused"):
            for parameter in group["params"]:
                torch.autograd.graph.increment_version(parameter)


register_optimizer_step_post_hook(_count_fused_writes)


@dataclass(frozen=True)
class _Entry(Generic[T]):
    value: T
    storages: tuple[weakref.ref[torch.UntypedStorage], ...]  # weak: a replaced parameter's memory is freed at once
    states: tuple[tuple[object, ...], ...]
    in_place: bool
    copies_trainable: bool

    def is_current(self, tensors: tuple[Tensor, ...]) -> bool:
        return len(tensors) == len(self.storages) and all(
            storage() is tensor.untyped_storage() and state == _state(tensor, self.in_place)
            for tensor, storage, state in zip(tensors, self.storages, self.states, strict=True)
        )


def _state(tensor: Tensor, in_place: bool) -> tuple[object, ...]:
    """Return a value that changes after a counted write, or when the tensor's offset within its storage changes."""
    writes = 0 if in_place or tensor.is_inference() else tensor._version
    return writes, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.requires_grad
