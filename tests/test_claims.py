"""The documentation's measured statements match the records."""

from __future__ import annotations

import pytest

from docs.tables.claims import Claims, claims
from docs.tables.page import DOCS


@pytest.mark.slow
@pytest.mark.parametrize(("page", "texts"), list(claims()), ids=lambda value: getattr(value, "__name__", value))
def test_claims_match_the_records(page: str, texts: Claims) -> None:
    """If not: correct the page's sentence, or its wording in `docs/tables/claims.py`."""
    written = " ".join((DOCS / page).read_text(encoding="utf-8").split())
    found = list(texts())
    assert found
    missing = [text for text in found if " ".join(text.split()) not in written]
    assert not missing, f"{page} lacks: {missing}"
