"""Expand paths of input files."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | Path) -> str:
    """Expand a leading `~` and remove a leading `file://`; other URLs are returned unchanged."""
    text = str(path)
    if text.startswith("file:/"):
        return expanded(text.removeprefix("file:").removeprefix("//"))
    try:
        return os.path.expanduser(text)  # noqa: PTH111 - Path raises where the user is unknown
    except ValueError:  # a null character or half of a surrogate pair in the user's name
        return text
