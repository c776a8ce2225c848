"""What the tests of all commands share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _few_words(few_calibration_words: None) -> None:
    """Commands are tested here, and not the numbers of compressions."""
