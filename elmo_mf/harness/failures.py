"""Cells that failed: their error and AllenNLP's log, in `OUTPUT/failed/<cell>/`."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from elmo_mf.harness.grid import Cell
from elmo_mf.io import atomic_path


@dataclass(frozen=True)
class Failure:
    """Why a cell failed, in one line, and where its log is."""

    error: str
    log: Path


class Failures:
    """The failures of an output folder."""

    def __init__(self, output: Path) -> None:
        self.folder = output / "failed"

    def of(self, cell: Cell) -> Failure | None:
        """The cell's failure, None if it has not failed or the note is broken."""
        folder = self.folder / cell.name
        try:
            note = json.loads((folder / "error.json").read_text(encoding="utf-8"))
            if note["id"] == cell.id:
                return Failure(str(note["error"]), folder / "out.log")
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            pass
        return None

    def all(self) -> dict[str, str]:
        """The errors of all cells that have failed, by the cells' names."""
        found = {}
        for path in sorted(self.folder.glob("*/error.json")):
            with contextlib.suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
                found[path.parent.name] = str(json.loads(path.read_text(encoding="utf-8"))["error"])
        return found

    def write(self, cell: Cell, error: str, log: str, remembered: bool = True) -> Failure:
        """Keep a failure's log, and remember the failure, so that `of` tells it."""
        folder = self.folder / cell.name
        texts = {"out.log": log}
        if remembered:
            texts["error.json"] = json.dumps({"id": cell.id, "error": error}) + "\n"
        for name, text in texts.items():
            with atomic_path(folder / name) as path:
                path.write_text(text, encoding="utf-8")
        return Failure(error, folder / "out.log")

    def clear(self, cell: Cell) -> None:
        """Forget a failure."""
        shutil.rmtree(self.folder / cell.name, ignore_errors=True)
