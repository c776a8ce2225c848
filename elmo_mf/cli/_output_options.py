"""Options for files that a command writes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option, confirm

from elmo_mf.errors import InputError, instead_of, one_of, printable
from elmo_mf.io import check_output

_BEGINNING = 1000  # characters

Output = Annotated[Path | None, Option("--out", "--output", help="The same as OUTPUT.")]
Force = Annotated[bool, Option("--force", help="Replace existing files without asking.")]


def the_output(argument: Path | None, option: Path | None) -> Path:
    """Return the output of a command that takes it as an argument or as an option.

    Raises:
        InputError: It is given twice, or not at all.
    """
    given = [path for path in (argument, option) if path is not None]
    if len(given) != 1:
        raise InputError("OUTPUT", instead_of("one file to write", " and ".join(map(str, given)) or None))
    return given[0]


def check_unused(paths: Iterable[Path | None], force: bool) -> None:
    """Check before the work that no file is replaced; on a terminal, ask whether it may be.

    Args:
        paths: The files that the command will write, None for those that are not asked for.
        force: Replace them.

    Raises:
        InputError: One of them exists, and may not be replaced.
    """
    there = [path for path in paths if path is not None and os.path.lexists(path)]
    if not there or force:
        return
    if sys.stdin and sys.stdin.isatty() and confirm(f"replace {printable(', '.join(map(str, there)))}?", err=True):
        return
    raise InputError(there[0], "already exists; choose another name, or use --force to replace it")


def check_own(marks: Mapping[Path, str], force: bool) -> None:
    """As `check_unused`, for files that the command may replace if it wrote them itself.

    Args:
        marks: A text near the beginning of each file, if the command wrote it.
        force: Replace files of others too.
    """
    check_unused((path for path, mark in marks.items() if path.is_file() and mark not in _beginning(path)), force)


def _beginning(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_BEGINNING)


@dataclass(frozen=True)
class PlotOptions:
    """File and theme of a plot."""

    plot: Annotated[Path | None, Option(help="File for a plot: .svg, .png or .pdf.")] = None
    theme: Annotated[str, Option(help="Theme of the plot: light or dark.")] = "light"

    def check(self, inputs: Iterable[Path | None] = ()) -> None:
        """Check before the work that the plot can be written.

        Args:
            inputs: Files that the command reads, which the plot must not replace.

        Raises:
            InputError: The theme or the file name extension is unknown, or as in `check_output`.
        """
        from elmo_mf.figures import THEMES

        if self.theme not in THEMES:
            raise InputError("--theme", f"found {self.theme!r}, {one_of(self.theme, THEMES)}")
        if self.plot is None:
            return
        if self.plot.suffix not in (".svg", ".png", ".pdf"):
            raise InputError("--plot", f"found {self.plot}, expected a name that ends in .svg, .png or .pdf")
        check_output("--plot", self.plot, inputs)
