"""The weight file from which AllenNLP is loading a trained model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_WEIGHTS: ContextVar[Path | None] = ContextVar("weights", default=None)


def weights_being_loaded() -> Path | None:
    """Return the weight file of the model under construction; None in training."""
    return _WEIGHTS.get()


@contextmanager
def loading(weights: str | Path) -> Iterator[None]:
    """Record a weight file during the construction of its model."""
    token = _WEIGHTS.set(Path(weights))
    try:
        yield
    finally:
        _WEIGHTS.reset(token)
