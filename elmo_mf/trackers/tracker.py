"""Experiment trackers, and their registration by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from elmo_mf.errors import InputError

Parameter = str | int | float | bool


def as_parameters(values: Mapping[str, object], within: str = "") -> dict[str, Parameter]:
    """Return the parameters of a run as one flat mapping.

    Args:
        values: Values by name. Nested mappings get names with dots, the entries of lists are joined by `+`, and what is
            None is left out.
        within: Beginning of the names. Defaults to none.

    Examples:
        >>> as_parameters({"rank": {"input": 4}, "targets": ["input", "recurrent"], "budget": None})
        {'rank.input': 4, 'targets': 'input+recurrent'}
    """
    flat: dict[str, Parameter] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= as_parameters(value, f"{within}{name}.")
        elif isinstance(value, Parameter):
            flat[within + name] = value
        elif value is not None:
            flat[within + name] = "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return flat


@dataclass(frozen=True)
class TrackedRun:
    """A run, as trackers know it.

    Attributes:
        name: A readable name, which can be that of a folder.
        id: Digest of everything that the run depends on; runs with the same id are the same run.
        parameters: What the run was given, by name.
    """

    name: str
    id: str
    parameters: Mapping[str, Parameter]


class RunLog(Protocol):
    """The log of one run, which is open."""

    def metrics(self, values: Mapping[str, float], step: int, /) -> None:
        """Log metrics.

        Args:
            values: Values by name, such as `train/perplexity`.
            step: Number of steps that the run has done.
        """

    def finish(self) -> None:
        """Close the log, as that of a run that came to its end."""


class Tracker(Protocol):
    """Interface of an experiment tracker, to which runs are logged.

    A class with these methods and a constructor that takes the output folder is a tracker, if it is decorated with
    `@register("name")` in a file that `elmo_mf.extensions.include` has imported or an entry point of the group
    `elmo_mf.trackers` names. Whatever its methods raise becomes a warning, after which they are not called again.

    Examples:
        >>> from elmo_mf.trackers import TrackedRun, register, tracker_named
        >>> class PrintedRun:
        ...     def metrics(self, values, step):
        ...         print(step, values)
        ...
        ...     def finish(self):
        ...         print("done")
        >>> @register("printed")
        ... class Printer:
        ...     def __init__(self, folder):
        ...         pass
        ...
        ...     def has(self, run):
        ...         return False
        ...
        ...     def start(self, run, step):
        ...         print(run.name, run.parameters)
        ...         return PrintedRun()
        >>> log = tracker_named("printed", "runs").start(TrackedRun("first", "a1", {"rank": 4}), 0)
        first {'rank': 4}
        >>> log.metrics({"accuracy": 0.5}, 1)
        1 {'accuracy': 0.5}
    """

    def has(self, run: TrackedRun, /) -> bool:
        """Return whether the run was logged to its end."""

    def start(self, run: TrackedRun, step: int, /) -> RunLog:
        """Open the log of a run.

        Args:
            run: The run. A log of it that was not finished is continued.
            step: Number of steps that the run has done; later ones in that log are those of an interrupted process.
        """


NewTracker = Callable[[Path], Tracker]
N = TypeVar("N", bound=NewTracker)
REGISTERED: dict[str, NewTracker] = {}


def register(name: str) -> Callable[[N], N]:
    """Return a class decorator that registers a tracker under a name.

    Args:
        name: The name, an identifier.

    Raises:
        InputError: The name is not an identifier, or a tracker of another class has it.
    """

    def add(tracker: N) -> N:
        if not name.isidentifier():
            raise InputError(tracker.__name__, f"found the name {name!r}, expected an identifier")
        known = REGISTERED.get(name)
        if known is not None and known.__qualname__ != tracker.__qualname__:
            raise InputError(
                tracker.__name__, f"found the name {name!r}, which {known.__qualname__} has, expected another"
            )
        REGISTERED[name] = tracker
        return tracker

    return add
