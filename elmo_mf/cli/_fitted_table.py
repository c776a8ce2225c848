"""Tables that are no wider than the terminal."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

_FIRST = 18
"""Characters that texts of the first column may be shortened to by line breaks."""


def fitted_table(title: str, cells: pd.DataFrame, width: int, *, left: int = 1, gap: int = 2) -> Table:
    """Build a table without the last columns that would leave the first one too little of the width.

    Args:
        title: Title of the table.
        cells: Its cells by column.
        width: Width of the terminal, in characters.
        left: Number of columns that are aligned to the left. Defaults to 1.
        gap: Characters between two columns. Defaults to 2.
    """
    from rich.table import Table

    widths = [max(len(str(text)) for text in (name, *cells[name])) + gap for name in cells]
    widths[0] = min(widths[0], _FIRST)
    kept = max(1, sum(total - gap <= width for total in itertools.accumulate(widths)))
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, gap - 1, 0, 1))
    for number, name in enumerate(cells.columns[:kept]):
        shown.add_column(str(name), justify="left" if number < left else "right", no_wrap=number > 0)
    for row in cells.iloc[:, :kept].itertuples(index=False):
        shown.add_row(*map(str, row))
    return shown
