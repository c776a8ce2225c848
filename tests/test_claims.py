"""What the documentation's sentences state as measured is what the records say."""

from __future__ import annotations

import pytest

from docs.tables.claims import claims
from docs.tables.page import DOCS


@pytest.mark.parametrize(("page", "text"), list(claims()), ids=lambda value: str(value)[:60])
def test_claims_are_of_the_records(page: str, text: str) -> None:
    assert " ".join(text.split()) in " ".join((DOCS / page).read_text(encoding="utf-8").split())
