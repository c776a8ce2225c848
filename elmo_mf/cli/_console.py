"""Tables and lines on a terminal."""

from __future__ import annotations

from typing import Any

import rich.console
from rich.text import Text

from elmo_mf.errors import visible


class Console(rich.console.Console):
    """Rich's console, printing text literally: no markup, emoji or highlighting, and unprintable characters escaped."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False} | settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Escape and render a text; Rich calls this for every string, also in the cells of tables."""
        return super().render_str("\n".join(map(visible, text.split("\n"))), **settings)
