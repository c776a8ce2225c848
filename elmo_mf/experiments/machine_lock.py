"""Who may use the machine: many compute at a time, or one measures and the others wait.

Latency is measured while every other run on this machine that writes to the same folder rests. A run rests where it
calls `rest`: between training batches, between batches of activations, and between the phases of its run.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator
from pathlib import Path

from elmo_mf.io.locks import Lock, acquire, holding


class Turn:
    """One process's part in it; a context in which it computes.

    Two locks: `machine`, shared by all who compute and held alone by the one who measures; `next`, held by who waits
    to measure, so that those who compute see that they are asked to rest, and do not come back before.
    """

    def __init__(self, output: Path) -> None:
        folder = output / "running"
        self._machine_path = folder / f".machine-{platform.node()}"
        self._next_path = folder / f".next-{platform.node()}"
        self._machine: Lock | None = None

    def __enter__(self) -> Turn:
        with holding(self._next_path, shared=True):
            self._machine = acquire(self._machine_path, shared=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._machine is not None:
            self._machine.release()
        self._machine = None

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Do not compute while the context lasts; for waiting, which must not hold up who measures."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def rest(self) -> None:
        """Let those measure who wait to; costs microseconds when nobody does."""
        asked = acquire(self._next_path, shared=True, wait=False)
        if asked is not None:
            asked.release()
            return
        with self.aside():
            pass

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Have the machine alone while the context lasts."""
        with self.aside(), holding(self._next_path), holding(self._machine_path):
            yield
