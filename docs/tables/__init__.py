"""Tables of the documentation that are generated from records."""

from docs.tables import compression, performance, sweeps
from docs.tables.page import Tables

PAGES: dict[str, Tables] = {
    "../README.md": performance.IN_SHORT,
    "compression.md": compression.TABLES,
    "performance.md": performance.TABLES,
    "sweeps.md": sweeps.TABLES,
}
