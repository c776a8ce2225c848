"""Which weights AllenNLP is loading a trained model from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_WEIGHTS: ContextVar[Path | None] = ContextVar("weights", default=None)


def weights_being_loaded() -> Path | None:
    """The file that the model under construction will get its parameters from; None in training."""
    return _WEIGHTS.get()


@contextmanager
def loading(weights: str | Path) -> Iterator[None]:
    """While a model is constructed for this file."""
    token = _WEIGHTS.set(Path(weights))
    try:
        yield
    finally:
        _WEIGHTS.reset(token)
