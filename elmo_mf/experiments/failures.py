"""Runs that failed: their error and AllenNLP's log, in `OUTPUT/failed/<run>/`."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from elmo_mf.errors import InputError, printable
from elmo_mf.io import atomic_path, read_bytes
from elmo_mf.tasks.grid import Run

_MOST_BYTES = 1_000_000


@with_config(ConfigDict(strict=True, extra="ignore"))
class _Note(TypedDict):
    id: str
    error: str


_NOTE = TypeAdapter(_Note)


@dataclass(frozen=True)
class Failure:
    """Why a run failed, in one line, and where its log is."""

    error: str
    log: Path


class Failures:
    """The failures of an output folder."""

    def __init__(self, output: Path) -> None:
        self.folder = output / "failed"

    def of(self, run: Run) -> Failure | None:
        """The run's failure, None if it has not failed or the note is broken."""
        folder = self.folder / run.name
        note = _read(folder / "error.json")
        return Failure(printable(note["error"]), folder / "out.log") if note and note["id"] == run.id else None

    def all(self) -> dict[str, str]:
        """The errors of all runs that have failed, by the runs' names."""
        notes = {path.parent.name: _read(path) for path in sorted(self.folder.glob("*/error.json"))}
        return {name: printable(note["error"]) for name, note in notes.items() if note is not None}

    def write(self, run: Run, error: str, log: str, remembered: bool = True) -> Failure:
        """Keep a failure's log, and remember the failure, so that `of` tells it."""
        folder = self.folder / run.name
        texts = {"out.log": log}
        if remembered:
            texts["error.json"] = json.dumps({"id": run.id, "error": error}) + "\n"
        for name, text in texts.items():
            with atomic_path(folder / name) as path:
                path.write_text(text, encoding="utf-8")
        return Failure(error, folder / "out.log")

    def clear(self, run: Run) -> None:
        """Forget a failure."""
        shutil.rmtree(self.folder / run.name, ignore_errors=True)


def _read(path: Path) -> _Note | None:
    """A failure's note, None if it is broken."""
    try:
        return _NOTE.validate_json(read_bytes(path, "note", "that of a failure", most=_MOST_BYTES))
    except (InputError, ValidationError):
        return None
