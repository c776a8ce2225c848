"""Records for reports."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from elmo_mf.errors import InputError
from elmo_mf.records.outputs import Outputs
from elmo_mf.records.packed import Records
from elmo_mf.records.record import Record
from elmo_mf.records.store import RecordStore

_MOST_WARNINGS = 20


def records_of(folder: Path) -> Records:
    """Read all records of an output folder, with warnings about files that are not records.

    Args:
        folder: The output folder, whose records are in `records`.

    Raises:
        InputError: There are no records.
    """
    store = RecordStore(folder)
    records = store.records()
    problems = list(store.problems.values())
    for problem in problems[:_MOST_WARNINGS]:
        warnings.warn(f"{problem}; left out", stacklevel=2)
    if len(problems) > _MOST_WARNINGS:
        more = len(problems) - _MOST_WARNINGS
        warnings.warn(f"{store.folder}: found {more} more files like these; left out", stacklevel=2)
    if not records:
        raise _without_records(folder)
    return records


def check_records(folder: Path) -> None:
    """Check before the work that an output folder has files that may be records.

    Raises:
        InputError: It has none.
    """
    if not any(RecordStore(folder).folder.glob("*.json")):
        raise _without_records(folder)


def _without_records(folder: Path) -> InputError:
    if folder.is_file():
        return InputError(folder, "found a file, expected the output folder of a sweep")
    where = RecordStore(folder).folder
    return InputError(where, f"found no records, expected those that elmo-mf sweep --output {folder} writes")


def outputs_of(folder: Path) -> Callable[[Record], Outputs | None]:
    """Return a function that reads outputs of records in a folder, and warns of a file of another record."""
    store = RecordStore(folder)

    def read(record: Record) -> Outputs | None:
        try:
            return store.outputs(record)
        except InputError as error:
            warnings.warn(f"{error}; left out", stacklevel=2)
            return None

    return read
