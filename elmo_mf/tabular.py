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

    def shown(self) -> pd.DataFrame:
        """Return the table as it is shown. Defaults to that of `to_pandas`."""
        return self.to_pandas()

    def __repr__(self) -> str:
        table, notes = self._shortened()
        return "\n".join([table.to_string(index=False, float_format=_FLOAT, na_rep=""), *notes])

    def _repr_html_(self) -> str:
        import pandas as pd

        table, notes = self._shortened()
        with pd.option_context("display.max_colwidth", None):  # to_html has no argument for it
            shown = table.to_html(index=False, border=0, float_format=_FLOAT, na_rep="")
        return shown + "".join(f"\n<p>{html(note)}</p>" for note in notes)

    def _shortened(self) -> tuple[pd.DataFrame, list[str]]:
        """Return the first rows of the table, and the texts below it."""
        table = self.shown()
        more = [f"and {len(table) - _MOST_ROWS:,} more"] if len(table) > _MOST_ROWS else []
        return table.head(_MOST_ROWS), [*more, *self.notes()]


_FLOAT = "{:.4g}".format
_MOST_ROWS = 40
