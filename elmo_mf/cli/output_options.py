"""Options for files that a command writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from elmo_mf.errors import InputError, one_of
from elmo_mf.io import check_output


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
            raise InputError(f"--theme: found {self.theme!r}, {one_of(self.theme, THEMES)}")
        if self.plot is None:
            return
        if self.plot.suffix not in (".svg", ".png", ".pdf"):
            raise InputError(f"--plot: found {self.plot}, expected a name that ends in .svg, .png or .pdf")
        check_output("--plot", self.plot, inputs)
