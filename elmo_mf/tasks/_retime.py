"""Repeated timing of recorded runs: selection of the runs and update of their records."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from elmo_mf.errors import InputError
from elmo_mf.provenance import provenance
from elmo_mf.records.record import Provenance, Record, Retimed
from elmo_mf.records.run import Run
from elmo_mf.records.store import RecordStore
from elmo_mf.tasks._retime_choices import check_retime
from elmo_mf.tasks._training import training_device
from elmo_mf.tasks.spec import SweepSpec


def picked(choice: str, spec: SweepSpec, threads: int) -> Callable[[Record], bool]:
    """Return a function that selects the records to time again on this machine, among those of encoders.

    Args:
        choice: `stale` for times from another machine, other versions or another number of threads, and for those
            that were not measured; or `all`.
        spec: The sweep of the records, whose overrides may choose a GPU.
        threads: Number of threads that runs use here.

    Raises:
        InputError: The choice is unknown, or the sweep measures no times.
    """
    check_retime(choice)
    if spec.latency_sentences == 0:
        raise InputError("latency_sentences", "found 0, expected at least 1 to measure times")

    @cache
    def here(task: str) -> Provenance:
        current = provenance(training_device(spec.overrides.get(task, {}).get("trainer.cuda_device")))
        return current.model_copy(update={"machine": current.machine.model_copy(update={"threads": threads})})

    def wanted(record: Record) -> bool:
        current = choice == "stale" and record.latency is not None and record.timing == here(record.run.task)
        return record.size is not None and not current

    return wanted


class RetimedRecords:
    """Store of records whose times are measured again; see `Store` in the scheduler.

    Args:
        store: The records.
        wanted: Selects the records to time again; see `picked`.
    """

    def __init__(self, store: RecordStore, wanted: Callable[[Record], bool]) -> None:
        self._store, self._wanted = store, wanted

    def read(self, run: Run) -> Record | None:
        """Return the run's record; None if it is to be timed again."""
        record = self._store.read(run)
        return None if record is None or self._wanted(record) else record

    def write(self, run: Run, times: Retimed) -> Record:
        """Replace the times in a run's record and keep the rest."""
        return self._store.update(run, times)
