"""Result records: one JSON file a cell, written atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from elmo_mf.bilm.checkpoint import atomic_path
from elmo_mf.errors import InputError
from elmo_mf.harness.grid import Cell

FORMAT = 1
_REQUIRED = ("format", "id", "cell", "scores", "size", "latency", "versions", "machine", "seconds")


class ResultStore:
    """The records of an output folder, in `folder/records/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "records"

    def path(self, cell: Cell) -> Path:
        return self.folder / f"{cell.name}.json"

    def has(self, cell: Cell) -> bool:
        """Whether the cell is recorded."""
        path = self.path(cell)
        return path.exists() and read_record(path)["id"] == cell.id

    def write(self, cell: Cell, record: dict[str, Any]) -> None:
        with atomic_path(self.path(cell)) as path:
            path.write_text(json.dumps({"format": FORMAT, "id": cell.id} | record, indent=2) + "\n", encoding="utf-8")

    def records(self) -> list[dict[str, Any]]:
        """All records, in the order of their file names.

        # Raises
        InputError: a file in the folder is not a record.
        """
        return [read_record(path) for path in sorted(self.folder.glob("*.json"))]


def read_record(path: Path) -> dict[str, Any]:
    """One record, checked for the fields that every record has."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: found something that is not JSON ({error}), expected a result record") from None
    for key in _REQUIRED:
        if not isinstance(record, dict) or key not in record:
            raise InputError(f"{path}: {key}: found nothing, expected a result record's field")
    if record["format"] != FORMAT:
        raise InputError(f"{path}: format: found {record['format']!r}, expected {FORMAT}")
    return dict(record)
