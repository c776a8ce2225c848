"""The records of an output folder, one JSON file a run, written atomically and read with care."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError
from elmo_mf.io import atomic_path
from elmo_mf.records.packed import Packed, Records
from elmo_mf.records.record import FORMAT, check_record, known_tasks, read_record, run_key
from elmo_mf.tasks.grid import Run, run_name


class ResultStore:
    """The records in `folder/records/`. What is no record is never trusted and never fatal: see `problems`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "records"
        self.aside = folder / "set-aside"
        self._task_named = known_tasks()
        self.problems: dict[Path, str] = {}
        """What was found in place of records, with the reason, in one line."""

    def path(self, run: Run) -> Path:
        return self.folder / f"{run.name}.json"

    def has(self, run: Run) -> bool:
        """Whether the run is recorded."""
        return self.read(run) is not None

    def read(self, run: Run) -> dict[str, Any] | None:
        """The run's record; None if there is none, or another's."""
        path = self.path(run)
        if not path.exists():
            return None
        try:
            record = read_record(path)
            if record["id"] != run.id:
                raise InputError(f"{path}: id: found {record['id'][:20]!r}, expected {run.id[:20]!r}")
        except InputError as error:
            self.problems[path] = str(error)
            return None
        return record

    def write(self, run: Run, record: dict[str, Any]) -> dict[str, Any]:
        """Write what `run_cell` returned as a record, atomically; returns the record.

        Raises:
            InputError: a field is missing or is not what it should be.
            OSError: the folder cannot be written to.
        """
        text = json.dumps({"format": FORMAT, "id": run.id, "run": run.identity} | record, indent=2) + "\n"
        checked = check_record(text.encode(), run.name)
        with atomic_path(self.path(run)) as path:
            path.write_text(text, encoding="utf-8")
        return checked

    def update(self, run: Run, part: dict[str, Any]) -> dict[str, Any]:
        """Write a run's record again, atomically, as its file has it but for `part`; returns the record.

        Raises:
            InputError: there is no record of the run, or `part` is not what it should be.
            OSError: the folder cannot be written to.
        """
        kept = json.loads(self.path(run).read_bytes()) if self.has(run) else {}
        return self.write(run, kept | part)

    def records(self) -> list[dict[str, Any]]:
        """All records, in the order of their file names; a run that several files are of counts once."""
        return list(self.packed())

    def packed(self) -> Records:
        """The same in little memory."""
        found: dict[str, list[Packed]] = {}
        for path in sorted(self.folder.glob("*.json")):
            if (record := self._checked(path)) is not None:
                found.setdefault(run_key(record), []).append(Packed.of(record, path.name))
        return Records(sorted(map(self._one_of, found.values()), key=lambda one: one.name))

    def _one_of(self, same: list[Packed]) -> Packed:
        """Of files of one run the one that has its name, or else the first by name; the others become problems."""
        if len(same) == 1:
            return same[0]
        records = {one.name: one.record() for one in same}
        kept, *others = sorted(same, key=lambda one: one.name != f"{run_name(records[one.name]['run'])}.json")
        for one in others:
            alike = records[one.name]["scores"] == records[kept.name]["scores"]
            scores = "the same scores" if alike else "other scores"
            path, found = self.folder / one.name, f"found the run of {kept.name} again, with {scores}"
            self.problems[path] = f"{path}: {found}, expected one record of it"
        return kept

    def _checked(self, path: Path) -> dict[str, Any] | None:
        try:
            record = read_record(path, self._task_named)
            if not path.stem.endswith(record["id"][:10]):
                raise InputError(f"{path}: id: found {record['id'][:10]!r}, expected that of the file's name")
        except InputError as error:
            self.problems[path] = str(error)
            return None
        return record

    def set_aside(self, paths: Iterable[Path]) -> list[str]:
        """Move those of `paths` that still are no records to `set-aside/`, overwriting nothing; returns a line each."""
        lines = []
        for path in paths:
            if path.exists() and self._checked(path) is None:
                self.aside.mkdir(exist_ok=True)
                path.rename(_free(self.aside / path.name))
                lines.append(f"{self.problems.pop(path)}; it was moved to {self.aside.name}/")
        return lines


def _free(path: Path) -> Path:
    """The path, or the first one like it that is not taken."""
    others = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], others) if not one.exists())
