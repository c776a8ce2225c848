"""Modules of this project that run on the parameters of a module of AllenNLP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from elmo_mf.bilm.derived_cache import DerivedCache

_NAME = "_elmo_mf"


class Counterpart(nn.Module):
    """A module that computes what its owner, a module of AllenNLP, computes, with the owner's parameters.

    It is a submodule of its owner without parameters of its own, so that `train()` and `clear_derived_caches` reach the
    copies of parameters that it keeps for inference.

    Args:
        settings: What the module was built from, apart from the values of parameters.
        module: The module, with parameters of any value.
    """

    def __init__(self, settings: object, module: nn.Module) -> None:
        super().__init__()
        self.settings = settings
        # in a tuple, because its parameters, which have no memory, are not to be found in the owner's
        self._without_memory = (module.to("meta").requires_grad_(False),)
        self._copy = DerivedCache[nn.Module]()

    def forward(self, parameters: Sequence[Tensor], derived: Callable[[], dict[str, Tensor]], *inputs: Any) -> Any:
        """Call the module.

        Args:
            parameters: Those of the owner.
            derived: Computes the module's parameters, by name, from those of the owner.
            inputs: The module's arguments.
        """
        if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters):
            return functional_call(self._without_memory[0], derived(), inputs)
        return self._copy.get(parameters, lambda: self._copied(derived))(*inputs)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _copied(self, derived: Callable[[], dict[str, Tensor]]) -> nn.Module:
        copy = deepcopy(self._without_memory[0])
        state = {name: tensor.detach().contiguous() for name, tensor in derived().items()}
        copy.load_state_dict(state, assign=True)
        return copy.eval()


def counterpart(owner: nn.Module, settings: object, build: Callable[[], nn.Module]) -> Counterpart:
    """Return the owner's counterpart, which is built again when the settings change.

    Args:
        owner: The module of AllenNLP, which keeps its counterpart.
        settings: What the counterpart depends on besides parameters, such as sizes.
        build: Builds the module that computes in the owner's place.
    """
    module = owner._modules.get(_NAME)
    if not isinstance(module, Counterpart) or module.settings != settings:
        with torch.random.fork_rng(devices=[]):  # modules that are built draw numbers, and dropout is to draw the same
            module = Counterpart(settings, build())
        owner.add_module(_NAME, module)
    return module


def forget(owner: nn.Module) -> None:
    """Drop the owner's counterpart, with the copies of parameters that it keeps."""
    owner._modules.pop(_NAME, None)


def state_without_counterpart(owner: nn.Module) -> dict[str, Any]:
    """Return the owner's state without its counterpart, for copying and pickling."""
    modules = {name: module for name, module in owner._modules.items() if name != _NAME}
    return {**vars(owner), "_modules": modules}


def is_plain(module: object, kind: type[nn.Module]) -> bool:
    """Return whether a module is of exactly this class, without hooks or an overridden `forward`."""
    if type(module) is not kind:
        return False
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return not any(hooks) and "forward" not in vars(module)


def suit(tensors: Iterable[Tensor]) -> bool:
    """Return whether counterparts compute with tensors of these types and devices, in the mode that PyTorch is in."""
    first, *others = tensors
    if first.device.type not in ("cpu", "cuda") or first.dtype not in (torch.float32, torch.float64):
        return False
    if any((tensor.device, tensor.dtype) != (first.device, first.dtype) for tensor in others):
        return False
    if torch.is_autocast_enabled(first.device.type):
        return False
    return not (torch.jit.is_tracing() or torch.compiler.is_compiling())  # type: ignore[no-untyped-call, attr-defined]
