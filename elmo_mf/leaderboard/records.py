"""Records for reports."""

from __future__ import annotations

import warnings
from pathlib import Path

from elmo_mf.errors import InputError
from elmo_mf.records.packed import Records
from elmo_mf.records.store import RecordStore

_MOST_WARNINGS = 20


def records_of(folder: Path) -> Records:
    """Read all records of an output folder, with warnings about files that are not records.

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
        raise InputError(
            f"{store.folder}: found no records, expected those of a sweep: elmo-mf sweep --output {folder}"
        )
    return records
