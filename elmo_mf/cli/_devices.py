"""The options `--device` and `--threads`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Option

from elmo_mf.errors import InputError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class DeviceOptions:
    """Device and number of threads of a command."""

    device: Annotated[str, Option(help="cpu, cuda or cuda:N.")] = "cpu"
    threads: Annotated[int | None, Option(min=1, help="Number of CPU threads.")] = None

    def use(self) -> torch.device:
        """Set the number of threads and return the device, after a first allocation on it.

        Raises:
            InputError: The device does not exist here.
        """
        import torch

        if self.threads:
            torch.set_num_threads(self.threads)
        try:
            device = torch.device(self.device)
            torch.empty(1, device=device)
        except Exception as error:
            reason = str(error).splitlines()[0][:80]
            raise InputError(
                f"--device: found {self.device} ({reason}), expected cpu, or cuda where there is a GPU"
            ) from None
        return device
