"""A disk that fails at one write."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from elmo_mf.io import OutputError

EachFails = Callable[[Callable[[], object], int, str], int]


@pytest.fixture
def each_write_fails(monkeypatch: pytest.MonkeyPatch) -> EachFails:
    """Calls `write` once, then once for each of its writes, which fails; each must raise. How many writes there are."""
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
