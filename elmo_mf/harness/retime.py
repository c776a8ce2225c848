"""Which recorded cells have their times measured again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from elmo_mf.errors import InputError, any_of
from elmo_mf.harness.record import timed
from elmo_mf.provenance import provenance

CHOICES = ("stale", "all")


def picked(choice: str, threads: int) -> Callable[[dict[str, Any]], bool]:
    """Whether a record is to be timed again, on this machine with so many threads.

    # Parameters
    choice: `stale`, where its times are of another machine, of other versions or of another number of threads; or
        `all`.

    # Raises
    InputError: another choice.
    """
    if choice not in CHOICES:
        raise InputError(f"--retime: found {choice!r}, {any_of(choice, CHOICES)}")
    here = provenance()
    here["machine"]["threads"] = threads
    return lambda record: choice == "all" or timed(record) != here
