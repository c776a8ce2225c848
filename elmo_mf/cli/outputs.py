"""Files that a command is asked to write."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from elmo_mf.errors import InputError, one_of
from elmo_mf.io import check_output


def check_picture(option: str, path: Path | None, theme: str, inputs: Iterable[Path | None] = ()) -> None:
    """As `check_output`, for a picture; None for no picture.

    Raises:
        InputError: also where the name's ending is none of a picture, or there is no such theme.
    """
    from elmo_mf.figures import THEMES

    if theme not in THEMES:
        raise InputError(f"--theme: found {theme!r}, {one_of(theme, THEMES)}")
    if path is None:
        return
    if path.suffix not in (".svg", ".png", ".pdf"):
        raise InputError(f"{option}: found {path}, expected a name that ends in .svg, .png or .pdf")
    check_output(option, path, inputs)
