"""The documentation's tables say what the records say."""

from __future__ import annotations

import re

import pytest

from docs.tables import PAGES
from docs.tables.page import DOCS, filled, names


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_of_the_records(page: str) -> None:
    """If not: `python -m docs.tables`, and read what the text around them says."""
    text = (DOCS / page).read_text(encoding="utf-8")
    assert sorted(names(text)) == sorted(PAGES[page])
    assert filled(text, PAGES[page]).splitlines() == text.splitlines()


def test_another_number_is_put_right() -> None:
    text = (DOCS / "performance.md").read_text(encoding="utf-8")
    wrong = re.sub(r"(?<=\| batch 1, length 150 \| )\d+\.\d", "99.9", text)
    assert wrong != text and filled(wrong, PAGES["performance.md"]) == text
