"""Which runs of an output folder are being run, and by whom: locks in `OUTPUT/running/`.

A claim ends with the process that holds it, so that a run whose sweep was killed is free again at once.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from elmo_mf.errors import InputError, printable
from elmo_mf.io import read_bytes
from elmo_mf.io.locks import Lock, acquire, is_held
from elmo_mf.tasks.grid import Run

_MOST_BYTES = 10_000
_Text = Annotated[str, AfterValidator(lambda text: printable(text, 60))]
_Number = Annotated[float | None, AfterValidator(lambda number: number if math.isfinite(number or 0) else None)]


@with_config(ConfigDict(strict=True, extra="ignore"))
class Note(TypedDict, total=False):
    """What the holder of a claim says of itself."""

    host: _Text
    """The machine's name."""
    pid: int
    """Of the process."""
    time: FiniteFloat
    """When this was said, in seconds since 1970."""
    phase: _Text
    """As `Progress`, and so are the others."""
    share: Annotated[float, Field(ge=0, le=1)]
    loss: _Number
    metric: _Number


_NOTE = TypeAdapter(Note)


class Claim:
    """A run that this process runs; nobody else will until it is released."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self.note({})

    def note(self, progress: dict[str, Any]) -> None:
        """Say how far it is, for `elmo-mf sweep --status`; a full disk does not matter here."""
        who = {"host": platform.node(), "pid": os.getpid(), "time": time.time()}
        with contextlib.suppress(OSError):
            self._lock.note(json.dumps(who | progress))

    def release(self) -> None:
        self._lock.release(remove=True)


class Claims:
    """The claims on an output folder's runs."""

    def __init__(self, output: Path) -> None:
        self.folder = output / "running"

    def take(self, run: Run) -> Claim | None:
        """Claim a run; None if somebody else has it."""
        lock = acquire(self._path(run), wait=False)
        return None if lock is None else Claim(lock)

    def of(self, run: Run) -> dict[str, Any] | None:
        """What the note on a claimed run says, nothing where it is no `Note`; None if nobody has the run."""
        return self._note(self._path(run))

    def all(self) -> dict[str, dict[str, Any]]:
        """The notes on all claimed runs, by the runs' names."""
        notes = {path.stem: self._note(path) for path in sorted(self.folder.glob("*.lock"))}
        return {name: note for name, note in notes.items() if note is not None}

    def _note(self, path: Path) -> dict[str, Any] | None:
        try:
            if not is_held(path):
                return None
        except OSError:  # nothing that could be a claim
            return None
        try:
            return dict(_NOTE.validate_json(read_bytes(path, "note", "that of a claim", most=_MOST_BYTES)))
        except (InputError, ValidationError):
            return {}

    def _path(self, run: Run) -> Path:
        return self.folder / f"{run.name}.lock"
