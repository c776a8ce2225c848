"""The documentation's measured statements match the records."""

from __future__ import annotations

import pytest

from docs.tables.claims import claims
from docs.tables.page import DOCS


@pytest.mark.parametrize(("page", "text"), list(claims()), ids=lambda value: str(value)[:60])
def test_claims_match_the_records(page: str, text: str) -> None:
    """If not: correct the page's sentence, or its wording in `docs/tables/claims.py`."""
    written = " ".join((DOCS / page).read_text(encoding="utf-8").split())
    assert written.find(" ".join(text.split())) >= 0, f"{page} lacks: {text}"
