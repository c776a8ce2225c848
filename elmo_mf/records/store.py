"""The records of an output folder, one JSON file per run, written atomically."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable
from pathlib import Path

from elmo_mf.errors import InputError
from elmo_mf.io import atomic_path, read_bytes
from elmo_mf.records.outputs import MOST_BYTES, SUFFIX, Outputs, parse_outputs
from elmo_mf.records.packed import PackedRecord, Records
from elmo_mf.records.record import (
    FORMAT,
    Measurements,
    OutputsFile,
    Record,
    Retimed,
    check_record,
    read_record,
)
from elmo_mf.records.run import Run


class RecordStore:
    """The records in `folder/records/`.

    A file that is not a record is never trusted and never fatal.

    Attributes:
        folder: Folder of the records.
        problems: For each file that is not a record, the reason in one line.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "records"
        self._set_aside = folder / "set-aside"
        self.problems: dict[Path, str] = {}

    def path(self, run: Run) -> Path:
        """Return the path of a run's record."""
        return self.folder / f"{run.name}.json"

    def has(self, run: Run) -> bool:
        """Return whether the run is recorded."""
        return self.read(run) is not None

    def read(self, run: Run) -> Record | None:
        """Return the run's record; None if there is none, or if the file is damaged or that of another run."""
        path = self.path(run)
        if not path.exists():
            return None
        try:
            record = read_record(path)
            if record.id != run.id:
                raise InputError(path, "id", f"found {record.id[:20]!r}, expected {run.id[:20]!r}")
        except InputError as error:
            self.problems[path] = str(error)
            return None
        return record

    def write(self, run: Run, measurements: Measurements) -> Record:
        """Write a run's record and its outputs, each atomically, the record last.

        Args:
            run: The run.
            measurements: What it measured.

        Returns:
            The record.

        Raises:
            InputError: The measurements are not those of such a run.
            OSError: The folder cannot be written to.
        """
        if measurements.by_example is not None:
            content = measurements.by_example.to_bytes()
            with atomic_path(self.path(run).with_suffix(SUFFIX)) as path:
                path.write_bytes(content)
            file = OutputsFile(sha256=hashlib.sha256(content).hexdigest())
            measurements = measurements.model_copy(update={"outputs": file})
        return self._write(run, measurements)

    def _write(self, run: Run, measurements: Measurements) -> Record:
        fields = {name: getattr(measurements, name) for name in Measurements.model_fields}
        record = Record.model_construct(format=FORMAT, id=run.id, run=run.identity, **fields)
        check_record(record, run.name)
        text = json.dumps(record.to_dict(), indent=2) + "\n"
        with atomic_path(self.path(run)) as path:
            path.write_text(text, encoding="utf-8")
        return record

    def update(self, run: Run, times: Retimed) -> Record:
        """Replace the times of a run's record, atomically.

        Args:
            run: The run.
            times: Its new times.

        Returns:
            The new record.

        Raises:
            InputError: The run is not recorded.
            OSError: The folder cannot be written to.
        """
        record = self.read(run)
        if record is None:
            raise InputError(self.path(run), "no such record, expected one to update")
        return self._write(run, record.model_copy(update={"latency": times.latency, "timed": times.timed}))

    def outputs(self, record: Record) -> Outputs | None:
        """Read the outputs of a record; None where the record has none, or the file is missing.

        Raises:
            InputError: The file is not the record's.
        """
        path = self.folder / Path(record.file_name).with_suffix(SUFFIX)
        if record.outputs is None or not path.exists():
            return None
        raw = read_bytes(path, "file of outputs", "the outputs of a record", most=MOST_BYTES)
        return parse_outputs(raw, record.outputs.sha256, str(path))

    def records(self) -> Records:
        """Read all records, in the order of their file names; a run with several files counts once."""
        by_id: dict[str, list[PackedRecord]] = {}
        for path in sorted(self.folder.glob("*.json")):
            if (record := self._checked(path)) is not None:
                by_id.setdefault(record.id, []).append(PackedRecord.pack(record, path.name))
        return Records(sorted(map(self._one_of, by_id.values()), key=lambda one: one.name))

    def _one_of(self, files: list[PackedRecord]) -> PackedRecord:
        """Choose among the files of one run: the one with the run's name, else the first; others become problems."""
        if len(files) == 1:
            return files[0]
        records = {one.name: one.unpack() for one in files}
        kept, *others = sorted(files, key=lambda one: one.name != records[one.name].file_name)
        for one in others:
            alike = records[one.name].scores == records[kept.name].scores
            scores = "the same scores" if alike else "other scores"
            path, found = self.folder / one.name, f"found the run of {kept.name} again, with {scores}"
            self.problems[path] = f"{path}: {found}, expected one record of it"
        return kept

    def _checked(self, path: Path) -> Record | None:
        try:
            record = read_record(path)
            if not path.stem.endswith(record.id[:10]):
                raise InputError(path, "id", f"found {record.id[:10]!r}, expected that of the file's name")
        except InputError as error:
            self.problems[path] = str(error)
            return None
        return record

    def set_aside(self, paths: Iterable[Path]) -> list[str]:
        """Move those of `paths` that still are no records to `set-aside/`, overwriting nothing.

        Returns:
            A line for each file that was moved.
        """
        lines = []
        for path in paths:
            if path.exists() and self._checked(path) is None:
                self._set_aside.mkdir(exist_ok=True)
                path.rename(_unused(self._set_aside / path.name))
                lines.append(f"{self.problems.pop(path)}; it was moved to {self._set_aside.name}/")
        return lines


def _unused(path: Path) -> Path:
    """Return the path, or the first like it that does not exist."""
    others = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], others) if not one.exists())
