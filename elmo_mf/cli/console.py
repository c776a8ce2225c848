"""Tables and lines on a terminal."""

from __future__ import annotations

from typing import Any

import rich.console
from rich.text import Text

from elmo_mf.errors import visible


class Console(rich.console.Console):
    """Rich's, for which a text is a text: no markup, no emoji, no highlighting; what cannot be printed is escaped."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False} | settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """What every text comes through, those of a table's cells too."""
        return super().render_str("\n".join(map(visible, text.split("\n"))), **settings)
