"""The option `--device`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elmo_mf.errors import InputError

if TYPE_CHECKING:
    import torch


def device_named(name: str) -> torch.device:
    """The device of that name, tried out.

    Raises:
        InputError: there is no such device here.
    """
    import torch

    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except Exception as error:
        reason = str(error).splitlines()[0][:80]
        raise InputError(f"--device: found {name} ({reason}), expected cpu, or cuda where there is a GPU") from None
    return device
