"""Files that a command is asked to write."""

from __future__ import annotations

import os
from pathlib import Path

from elmo_mf.errors import InputError


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
