"""Reader-writer lock on the machine: many runs compute at the same time, or one measures while the others wait.

Latency is measured while every other run on this machine that writes to the same output folder waits. A run yields to a
measurement between training batches, between batches of activations and between phases.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator
from pathlib import Path

from elmo_mf.io.locks import Lock, acquire, holding


class MachineLock:
    """A process's hold on the machine: shared while its context lasts, exclusive within `exclusive`.

    It consists of two file locks. `machine` is held shared by runs that compute and exclusively by the one that
    measures. `next` is held exclusively by a run that waits to measure, which gives it priority over new readers.
    """

    def __init__(self, output: Path) -> None:
        folder = output / "running"
        self._machine_path = folder / f".machine-{platform.node()}"
        self._next_path = folder / f".next-{platform.node()}"
        self._machine: Lock | None = None

    def __enter__(self) -> MachineLock:
        with holding(self._next_path, shared=True):
            self._machine = acquire(self._machine_path, shared=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._machine is not None:
            self._machine.release()
        self._machine = None

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Release the shared lock within the context, so that waiting there does not delay a measurement."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def yield_to_measurement(self) -> None:
        """Let waiting measurements go first; this takes microseconds if there are none."""
        probe = acquire(self._next_path, shared=True, wait=False)
        if probe is not None:
            probe.release()
            return
        with self.pause():
            pass

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the machine exclusively within the context, as soon as all others have yielded."""
        with self.pause(), holding(self._next_path), holding(self._machine_path):
            yield
