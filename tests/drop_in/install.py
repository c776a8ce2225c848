"""The drop-in, installed for as long as a context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def drop_in() -> Iterator[None]:
    """Imported here, because importing it installs it, and other tests compare with AllenNLP's own ELMo."""
    import elmo_mf.drop_in

    elmo_mf.drop_in.install()
    try:
        yield
    finally:
        elmo_mf.drop_in.uninstall()


def counterparts(module: nn.Module) -> int:
    """How many parts of a module have run with this project's encoder; both parts of an `Elmo` can."""
    return sum(name.endswith("_elmo_mf") for name, _ in module.named_modules())
