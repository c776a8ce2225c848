"""The file that gets the vectors, which the command line checks before PyTorch is imported."""

from __future__ import annotations

import os
from pathlib import Path

from elmo_mf.errors import InputError


def check_new(output: Path) -> None:
    """Check before the work that no file would be overwritten.

    A file with parts next to it is left to `embed_file`: it may be the result of a run that was killed before it
    removed the parts.

    Raises:
        InputError: `output` exists.
    """
    if not parts_folder(output).is_dir():
        expect_none(output)


def expect_none(output: Path) -> None:
    """Check that no file would be overwritten.

    Raises:
        InputError: `output` exists.
    """
    if os.path.lexists(output):
        raise InputError(output, "already exists; choose another name")


def parts_folder(output: Path) -> Path:
    """Return the folder of the parts of an output."""
    return output.with_name(output.name + ".parts")
