"""`python -m docs.tables` regenerates the tables in the pages from their records."""

from __future__ import annotations

from docs.tables import PAGES
from docs.tables.page import DOCS, filled
from elmo_mf.io import atomic_path

for name, tables in PAGES.items():
    text = filled((DOCS / name).read_text(encoding="utf-8"), tables)
    with atomic_path(DOCS / name) as path:
        path.write_text(text, encoding="utf-8")
