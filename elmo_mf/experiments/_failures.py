"""Errors and logs of failed runs, in `OUTPUT/failed/RUN/`."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from elmo_mf.errors import InputError, printable
from elmo_mf.experiments._runs import Run
from elmo_mf.io import atomic_path, read_bytes

_MAX_BYTES = 1_000_000


class _ErrorFile(BaseModel):
    """Content of `error.json`."""

    model_config = ConfigDict(strict=True, extra="ignore")

    id: str
    error: str


@dataclass(frozen=True)
class Failure:
    """Error of a failed run, in one line, and its log."""

    error: str
    log: Path


class Failures:
    """The failures of an output folder."""

    def __init__(self, output: Path) -> None:
        self.folder = output / "failed"

    def of(self, run: Run) -> Failure | None:
        """Return a run's failure; None if it has not failed or its `error.json` cannot be read."""
        folder = self.folder / run.name
        stored = _read(folder / "error.json")
        return Failure(printable(stored.error), folder / "out.log") if stored and stored.id == run.id else None

    def all(self) -> dict[str, str]:
        """Return the errors of all failed runs, by run name."""
        stored = {path.parent.name: _read(path) for path in sorted(self.folder.glob("*/error.json"))}
        return {name: printable(one.error) for name, one in stored.items() if one is not None}

    def write(self, run: Run, error: str, log: str, remembered: bool = True) -> Failure:
        """Write a failure's log and its error.

        Args:
            run: The run that failed.
            error: The error, in one line.
            log: The output of the run.
            remembered: Whether `of` and `all` return the error from now on. Defaults to True.
        """
        folder = self.folder / run.name
        texts = {"out.log": log}
        if remembered:
            texts["error.json"] = json.dumps({"id": run.id, "error": error}) + "\n"
        for name, text in texts.items():
            with atomic_path(folder / name) as path:
                path.write_text(text, encoding="utf-8")
        return Failure(error, folder / "out.log")

    def clear(self, run: Run) -> None:
        """Delete a run's failure, if any."""
        shutil.rmtree(self.folder / run.name, ignore_errors=True)


def _read(path: Path) -> _ErrorFile | None:
    """Read `error.json`; None if it is missing or damaged."""
    try:
        return _ErrorFile.model_validate_json(read_bytes(path, "error file", "the error of a run", most=_MAX_BYTES))
    except (InputError, ValidationError):
        return None
