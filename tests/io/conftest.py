"""A fixture for disks that fail at one write."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from elmo_mf.io import OutputError

EachFails = Callable[[Callable[[], object], int, str], int]


@pytest.fixture
def each_write_fails(monkeypatch: pytest.MonkeyPatch) -> EachFails:
    """Return a function that calls `write` once, and once more for each of its writes, failing at that write.

    Each failure must raise `OutputError`. The function returns the number of writes.
    """
    real, calls, failing, error = os.pwrite, 0, -1, 0

    def pwrite(*arguments: object) -> int:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(error, "")
        return real(*arguments)  # type: ignore[arg-type]

    def run(write: Callable[[], object], number: int, message: str) -> int:
        nonlocal calls, failing, error
        error = number
        write()
        total = calls
        for failing in range(1, total + 1):  # noqa: B007
            calls = 0
            with pytest.raises(OutputError, match=message):
                write()
        return total

    monkeypatch.setattr(os, "pwrite", pwrite)
    return run
