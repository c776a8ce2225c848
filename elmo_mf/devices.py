"""Devices by name."""

from __future__ import annotations

import torch

from elmo_mf.errors import InputError


def usable_device(name: str | torch.device) -> torch.device:
    """Return a device, after a first allocation on it.

    Args:
        name: `cpu`, `cuda` or `cuda:N`.

    Raises:
        InputError: There is no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except Exception as error:  # of various types, by the reason
        reason = str(error).splitlines()[0][:80]
        raise InputError(f"device: found {name} ({reason}), expected cpu, or cuda where there is a GPU") from None
    return device
