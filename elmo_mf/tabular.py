"""Results that are tables: for pandas, in a terminal, and in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from elmo_mf.escape import html

if TYPE_CHECKING:
    import pandas as pd


class Tabular(ABC):
    """A result with a table, which notebooks show with notes below it."""

    @abstractmethod
    def to_pandas(self) -> pd.DataFrame:
        """Return the table with numbers as they were measured."""

    def notes(self) -> Sequence[str]:
        """Return what else there is to say, in sentences. Defaults to nothing."""
        return ()

    def __repr__(self) -> str:
        table = self.to_pandas().to_string(index=False, float_format=_FLOAT, max_rows=_MOST_ROWS)
        return "\n".join([table, *self.notes()])

    def _repr_html_(self) -> str:
        return table_html(self.to_pandas(), self.notes())


def table_html(table: pd.DataFrame, notes: Sequence[str] = (), title: str = "") -> str:
    """Return a table and the notes below it as HTML for a notebook.

    Args:
        table: The table, whose index is not shown.
        notes: Texts below it.
        title: Text above it.
    """
    shown = table.head(_MOST_ROWS).to_html(index=False, border=0, float_format=_FLOAT, na_rep="")
    more = [f"and {len(table) - _MOST_ROWS:,} more"] if len(table) > _MOST_ROWS else []
    heading = f"<p><b>{html(title)}</b></p>\n" if title else ""
    return heading + shown + "".join(f"\n<p>{html(note)}</p>" for note in [*more, *notes])


_FLOAT = "{:.4g}".format
_MOST_ROWS = 40
