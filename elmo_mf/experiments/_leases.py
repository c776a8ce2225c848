"""Leases on runs: which runs of an output folder are in progress, and which process executes them.

A lease is a locked file in `OUTPUT/running/` and ends with the process that holds it, so that the runs of a killed
sweep are free at once. The file's content is the holder's latest heartbeat.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from elmo_mf.errors import InputError, printable
from elmo_mf.experiments._runs import Progress, Run
from elmo_mf.io import read_bytes
from elmo_mf.io.locks import Lock, acquire, is_held

_MAX_BYTES = 10_000
_Text = Annotated[str, AfterValidator(lambda text: printable(text, 60))]
_Number = Annotated[float | None, AfterValidator(lambda number: number if math.isfinite(number or 0) else None)]


class Heartbeat(BaseModel):
    """Latest sign of life of the holder of a lease.

    Attributes:
        host: Name of the holder's machine.
        pid: Process id of the holder.
        time: When the heartbeat was written, in seconds since 1970.
        phase: See `Progress`.
        share: See `Progress`.
        loss: See `Progress`.
        metric: See `Progress`.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    host: _Text = "?"
    pid: int | None = None
    time: FiniteFloat | None = None
    phase: _Text = "starting"
    share: Annotated[float, Field(ge=0, le=1)] | None = None
    loss: _Number = None
    metric: _Number = None


class Lease:
    """Exclusive right of this process to execute a run, until it releases the lease."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self.beat()

    def beat(self, progress: Progress | None = None) -> None:
        """Write a heartbeat, ignoring errors such as a full disk."""
        holder = {"host": platform.node(), "pid": os.getpid(), "time": time.time()}
        with contextlib.suppress(OSError):
            self._lock.write(json.dumps(holder | ({} if progress is None else asdict(progress))))

    def release(self) -> None:
        """Release the run."""
        self._lock.release(remove=True)


class Leases:
    """The leases on the runs of an output folder."""

    def __init__(self, output: Path) -> None:
        self.folder = output / "running"

    def acquire(self, run: Run) -> Lease | None:
        """Lease a run; None if another process holds it."""
        lock = acquire(self._path(run), wait=False)
        return None if lock is None else Lease(lock)

    def of(self, run: Run) -> Heartbeat | None:
        """Return the heartbeat of a leased run, an empty one if it cannot be read; None if no process holds the run."""
        return self._heartbeat(self._path(run))

    def all(self) -> dict[str, Heartbeat]:
        """Return the heartbeats of all leased runs, by run name."""
        heartbeats = {path.stem: self._heartbeat(path) for path in sorted(self.folder.glob("*.lock"))}
        return {name: heartbeat for name, heartbeat in heartbeats.items() if heartbeat is not None}

    def _heartbeat(self, path: Path) -> Heartbeat | None:
        try:
            if not is_held(path):
                return None
        except OSError:  # not a file
            return None
        try:
            return Heartbeat.model_validate_json(read_bytes(path, "heartbeat", "that of a lease", most=_MAX_BYTES))
        except (InputError, ValidationError):
            return Heartbeat()

    def _path(self, run: Run) -> Path:
        return self.folder / f"{run.name}.lock"
