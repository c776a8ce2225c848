"""The load test runs, on few runs; what it measures is for `python -m tests.load`."""

from __future__ import annotations

import pytest

from tests.load import load

pytestmark = pytest.mark.slow


def test_load() -> None:
    """The numbers of records are those that lie in the folders afterwards."""
    measured = load(5, 20)
    assert measured["runs"] == 5 and measured["records"] == 20
    assert measured["page_megabytes"] > 0.05
