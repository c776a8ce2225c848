"""The load test runs, on few runs; what it measures is for `python -m tests.load`."""

from __future__ import annotations

import pytest

from tests.load import load

pytestmark = pytest.mark.slow


def test_load() -> None:
    measured = load(10, 20)
    assert measured["runs"] == 10 and measured["records"] == 20
