"""The options `--device` and `--threads`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Option

from elmo_mf.cli._option_names import options_named
from elmo_mf.devices import check_device

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class DeviceOptions:
    """Device and number of threads of a command."""

    device: Annotated[str, Option(help="cpu, cuda or cuda:N.")] = "cpu"
    threads: Annotated[int | None, Option(min=1, help="Number of CPU threads.")] = None

    def __post_init__(self) -> None:
        """Reject what cannot be a device before anything is imported for the command's work."""
        with options_named(self.option_names()):
            check_device(self.device)

    def use(self) -> torch.device:
        """Set the number of threads and return the device, after a first allocation on it.

        Raises:
            InputError: The device does not exist here.
        """
        import torch

        from elmo_mf.devices import usable_device

        if self.threads:
            torch.set_num_threads(self.threads)
        return usable_device(self.device)

    def option_names(self) -> Mapping[str, str]:
        """Return the option of the device by the name that errors have for it."""
        return {"device": "--device"}
