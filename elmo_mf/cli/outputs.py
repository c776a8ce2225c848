"""Files that a command is asked to write."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError, one_of


def check_output(option: str, path: Path) -> None:
    """Find out before the work, not after it, that its result cannot be written.

    # Raises
    InputError: `path` is a folder, or lies in none that can be written to.
    """
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if path.is_dir():
        raise InputError(f"{option}: found the folder {path}, expected the name of a file")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{option}: found {path} in {folder}, which cannot be written to, expected a writable folder")


def check_picture(option: str, path: Path | None, theme: str) -> None:
    """As `check_output`, for a picture; None for no picture.

    # Raises
    InputError: also where the name's ending is none of a picture, or there is no such theme.
    """
    from elmo_mf.report.pictures import THEMES

    if theme not in THEMES:
        raise InputError(f"--theme: found {theme!r}, {one_of(theme, THEMES)}")
    if path is None:
        return
    if path.suffix not in (".svg", ".png", ".pdf"):
        raise InputError(f"{option}: found {path}, expected a name that ends in .svg, .png or .pdf")
    check_output(option, path)


def write_json(path: Path, value: Any) -> None:
    """Write a file, atomically."""
    from elmo_mf.bilm.checkpoint import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
