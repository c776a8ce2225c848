"""Devices by name."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from elmo_mf.errors import InputError

if TYPE_CHECKING:
    import torch

_KNOWN = re.compile(r"cpu(:0)?|cuda(:\d+)?")


def check_device(name: str) -> None:
    """Reject a device that PyTorch cannot have, before it is imported; `usable_device` checks the rest.

    Args:
        name: See `usable_device`.

    Raises:
        InputError: No device has this name, or PyTorch is installed without CUDA.
    """
    if "torch" in sys.modules:  # where a backend may have added devices
        return
    if _KNOWN.fullmatch(name) is None:
        raise _unusable(name, "an unknown name")
    if name.startswith("cuda") and _without_cuda():
        raise _unusable(name, "PyTorch is installed without CUDA")


def _without_cuda() -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False


def usable_device(name: str | torch.device) -> torch.device:
    """Return a device, after a first allocation on it.

    Args:
        name: `cpu`, `cuda` or `cuda:N`.

    Raises:
        InputError: There is no such device here.
    """
    import torch

    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except Exception as error:  # of various types, by the reason
        raise _unusable(name, str(error).splitlines()[0][:80]) from None
    return device


def _unusable(name: str | torch.device, reason: str) -> InputError:
    return InputError("device", f"found {name} ({reason}), expected cpu, or cuda where there is a GPU")
