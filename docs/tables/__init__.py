"""Tables of the documentation that are generated from records, by cog: `make tables`."""

from docs.tables import acceleration, compression, performance, sweeps
from docs.tables.page import Tables, markdown

GROUPS: dict[str, Tables] = {
    "acceleration": acceleration.TABLES,
    "in_short": performance.IN_SHORT,
    "compression": compression.TABLES,
    "performance": performance.TABLES,
    "sweeps": sweeps.TABLES,
}


def table(group: str, name: str) -> None:
    """Print a table, where cog finds a call in a page."""
    print(f"\n{markdown(GROUPS[group][name]())}")
