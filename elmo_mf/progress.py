"""Progress of long computations: stages of a known number of steps, reported to a listener if there is one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Advance(Protocol):
    """Function to call after steps of a stage."""

    def __call__(self, steps: float = 1, note: str = "") -> None:
        """Report completed steps, and a note that replaces the last one, such as the latest loss."""


class Reporter(Protocol):
    """Function that shows stages."""

    def __call__(self, name: str, steps: float, unit: str) -> AbstractContextManager[Advance]:
        """Show a stage while the context lasts.

        Args:
            name: Name of the stage.
            steps: Number of its steps.
            unit: What the steps are, in the plural; `%` where they are only shares of the whole.
        """


def silent(steps: float = 1, note: str = "") -> None:
    """Show nothing, as `Advance`."""


@contextmanager
def _no_reporter(name: str, steps: float, unit: str) -> Iterator[Advance]:
    yield silent


_REPORTER: ContextVar[Reporter] = ContextVar("reporter", default=_no_reporter)


def stage(name: str, steps: float, unit: str) -> AbstractContextManager[Advance]:
    """Begin a stage of a computation, see `Reporter`."""
    return _REPORTER.get()(name, steps, unit)


def track(items: Collection[T], name: str, unit: str) -> Iterator[T]:
    """Iterate over items as a stage that has a step for each.

    Args:
        items: The items.
        name: Name of the stage.
        unit: What the items are, in the plural.
    """
    with stage(name, len(items), unit) as advance:
        for item in items:
            yield item
            advance()


@contextmanager
def reported_to(reporter: Reporter) -> Iterator[None]:
    """Report the stages of all computations in this context and thread; by default they are silent.

    Args:
        reporter: Shows the stages.
    """
    token = _REPORTER.set(reporter)
    try:
        yield
    finally:
        _REPORTER.reset(token)


def unreported() -> AbstractContextManager[None]:
    """Show no stages in this context and thread."""
    return reported_to(_no_reporter)
