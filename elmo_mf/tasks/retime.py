"""Which recorded runs have their times measured again."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from elmo_mf.errors import InputError, any_of
from elmo_mf.provenance import provenance
from elmo_mf.records.record import timed
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.training import training_device

CHOICES = ("stale", "all")


def picked(choice: str, spec: SweepSpec, threads: int) -> Callable[[dict[str, Any]], bool]:
    """Whether a record is to be timed again, on this machine, with so many threads and on the GPU that the sweep uses.

    Args:
        choice: `stale`, where its times are of another machine, of other versions or of another number of threads; or
            `all`.
        spec: the sweep whose records they are.

    Raises:
        InputError: another choice.
    """
    if choice not in CHOICES:
        raise InputError(f"--retime: found {choice!r}, {any_of(choice, CHOICES)}")

    @cache
    def here(task: str) -> dict[str, Any]:
        found = provenance(training_device(spec.overrides.get(task, {}).get("trainer.cuda_device")))
        found["machine"]["threads"] = threads
        return found

    return lambda record: choice == "all" or timed(record) != here(record["run"]["task"])
