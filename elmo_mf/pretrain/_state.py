"""The saved state of a pretraining run, checked against the run itself before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from elmo_mf.records.base_model import Data
from elmo_mf.records.pretraining import Epoch


class SavedProgress(Data):
    """Progress of a run, as saved in its checkpoint."""

    step: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0)]
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


class NumpyState(Data):
    """The state of NumPy's global random generator."""

    name: Literal["MT19937"]
    keys: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(min_length=624, max_length=624)
    position: Annotated[float, Field(ge=0, le=624)]
    has_gauss: Annotated[float, Field(ge=0, le=1)]
    gauss: float

    @classmethod
    def current(cls) -> NumpyState:
        """Return the state that the generator has now."""
        name, keys, *rest = np.random.get_state(legacy=True)
        return cls.from_list([name, torch.from_numpy(np.asarray(keys, np.int64)), *map(float, rest)])

    def restore(self) -> None:
        """Give the generator this state."""
        keys, position = np.array(self.keys, np.uint32), int(self.position)
        np.random.set_state((self.name, keys, position, int(self.has_gauss), self.gauss))

    def to_list(self) -> list[Any]:
        """Return what `from_list` reads."""
        return [self.name, torch.tensor(self.keys, dtype=torch.int64), self.position, self.has_gauss, self.gauss]

    @classmethod
    def from_list(cls, values: Any) -> NumpyState:
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


@dataclass(frozen=True)
class TrainerState:
    """State of a run that a checkpoint contains.

    Attributes:
        model: Parameters of the model.
        optimizer: State of the optimizer.
        scheduler: State of the learning-rate schedule.
        scaler: State of the scaler of gradients.
        carried: The LSTM states in which the next sentences start; see `check_carried`.
        best: Parameters after the best epoch; None without patience.
        rng: State of PyTorch's random generator.
        cuda_rng: That of the GPU; None on a CPU.
        numpy_rng: That of NumPy's.
        progress: Steps, seconds and epochs done.
    """

    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    scaler: dict[str, Any]
    carried: list[tuple[Tensor, Tensor]] | None
    best: dict[str, Tensor] | None
    rng: Tensor
    cuda_rng: Tensor | None
    numpy_rng: NumpyState
    progress: SavedProgress

    def to_dict(self) -> dict[str, Any]:
        """Return tensors, numbers and texts in lists and dictionaries, for `save_state`."""
        parts = {name: getattr(self, name) for name in _PARTS}
        return parts | {"numpy_rng": self.numpy_rng.to_list()} | self.progress.model_dump()

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> TrainerState:
        """Build the state from what `load_state` returned; the parts of PyTorch are not checked.

        Raises:
            KeyError: A part is missing.
            ValueError: The progress, or the state of NumPy's generator, is damaged.
        """
        progress = SavedProgress.model_validate({name: stored[name] for name in SavedProgress.model_fields})
        numpy_rng = NumpyState.from_list(stored["numpy_rng"])
        return cls(**{name: stored[name] for name in _PARTS}, numpy_rng=numpy_rng, progress=progress)


_PARTS = tuple(field.name for field in fields(TrainerState) if field.name not in ("numpy_rng", "progress"))


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
