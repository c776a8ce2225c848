"""The saved state of a pretraining run, checked against the run itself before anything is loaded."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

_Perplexity = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Epoch(_Strict):
    """Held-out perplexities after an epoch, counted from 1."""

    epoch: Annotated[int, Field(ge=1)]
    forward: _Perplexity
    backward: _Perplexity


class SavedProgress(_Strict):
    """Progress of a run, as saved in its checkpoint."""

    step: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    history: list[Epoch]

    def check(self, ends: list[int]) -> None:
        """Check that steps and epochs are consistent.

        Args:
            ends: Number of steps done after each epoch.

        Raises:
            ValueError: They are not; the message names the field.
        """
        if [epoch.epoch for epoch in self.history] != list(range(1, len(self.history) + 1)):
            raise ValueError("history: epochs out of order")
        done = len(self.history)
        if done > len(ends) or not [0, *ends][done] <= self.step <= ends[min(done, len(ends) - 1)]:
            raise ValueError(f"step: {self.step} after {done} epochs")


class NumpyState(_Strict):
    """The state of NumPy's global random generator."""

    name: Literal["MT19937"]
    keys: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(min_length=624, max_length=624)
    position: Annotated[float, Field(ge=0, le=624)]
    has_gauss: Annotated[float, Field(ge=0, le=1)]
    gauss: Annotated[float, Field(allow_inf_nan=False)]

    @classmethod
    def of(cls, values: Any) -> NumpyState:
        """Build the state from the list in a checkpoint.

        Raises:
            ValueError: The list is not such a state.
        """
        name, keys, *rest = values
        if not isinstance(keys, Tensor) or keys.dtype != torch.int64 or keys.shape != (624,):
            raise ValueError("numpy_rng: other keys")
        return cls.model_validate(
            dict(zip(("name", "keys", "position", "has_gauss", "gauss"), (name, keys.tolist(), *rest), strict=True))
        )


def check_carried(carried: Any, widths: tuple[int, int], layers: int) -> None:
    """Check the LSTM states in which the next sentences start.

    Args:
        carried: None, or h (2, rows, p) and c (2, rows, n) of each layer.
        widths: p and n.
        layers: Number of LSTM layers.

    Raises:
        ValueError: The number or the shapes of the states are wrong.
    """
    if carried is None:
        return
    if not isinstance(carried, list) or len(carried) != layers:
        raise ValueError("carried: another number of layers")
    rows = carried[0][0].shape[1]
    for pair in carried:
        for part, width in zip(pair, widths, strict=True):
            if not isinstance(part, Tensor) or not part.is_floating_point() or part.shape != (2, rows, width):
                raise ValueError("carried: other shapes")
