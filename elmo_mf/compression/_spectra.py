"""Spectra and norms of matrices as a table and as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from elmo_mf.compression._inspection import MatrixFacts
from elmo_mf.figures import COLORS, MARKERS, save, themed

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table


def spectra_table(facts: list[MatrixFacts], *, ranks: bool = True, norms: bool = True) -> Table:
    """Build a table with one row for each matrix, and its gates below it.

    Args:
        facts: What `inspect` computed.
        ranks: Whether to include shapes, forms and ranks.
        norms: Whether to include norms.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("matrix", no_wrap=True)
    titles = [*(_RANKS if ranks else ()), *(_NORMS if norms else ())]
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for one in facts:
        cells = [*(_ranks(one) if ranks else ()), *(_norms(one) if norms else ())]
        table.add_row(one.name if one.gate is None else f"  gate {one.gate}", *cells)
    return table


_RANKS = ("shape", "form", "eff. rank", "90 %", "99 %")
_NORMS = ("L1", "Frobenius", "spectral", "nuclear", "std")


def _ranks(one: MatrixFacts) -> list[str]:
    rows, columns = one.shape
    ranks = (one.rank_for(0.9), one.rank_for(0.99))
    return [f"{rows} x {columns}", one.form, f"{one.norms.effective_rank:.1f}", *map(str, ranks)]


def _norms(one: MatrixFacts) -> list[str]:
    norms = one.norms
    return [f"{value:.4g}" for value in (norms.l1, norms.frobenius, norms.spectral, norms.nuclear, norms.std)]


def plot_spectra(facts: list[MatrixFacts], title: str, path: Path, theme: str = "light") -> None:
    """Write a figure of the singular values of whole matrices, one panel for each target.

    Layers differ in colour and in marker, directions in line style, so that it can be read in black and white.

    Args:
        facts: What `inspect` computed.
        title: Title of the figure.
        path: File to write; its suffix decides the format.
        theme: `light` or `dark`.
    """
    with themed(theme):
        save(_spectra(facts, title), path)


def _spectra(facts: list[MatrixFacts], title: str) -> Figure:
    from matplotlib.figure import Figure

    whole = [one for one in facts if one.gate is None]
    targets = list(dict.fromkeys(one.target for one in whole))
    figure = Figure(figsize=(4.2 * len(targets), 3.8), layout="constrained")
    for axes, target in zip(np.atleast_1d(figure.subplots(1, len(targets), sharey=True)), targets, strict=True):
        for one in (one for one in whole if one.target == target):
            largest = one.spectrum[0]
            if largest > 0:
                shares = one.spectrum / largest
                shares = shares[shares > 1e-6]  # beyond the rank of factors there is only rounding
                ranks = np.arange(1, len(shares) + 1)
                color, marker = COLORS[one.layer % len(COLORS)], MARKERS[one.layer % len(MARKERS)]
                line, first = ("-", 0) if one.direction == "forward" else ("--", 0.06)
                axes.plot(
                    ranks, shares, line, color=color, marker=marker, markevery=(first, 0.12), markersize=4,
                    label=f"layer {one.layer} {one.direction}",
                )  # fmt: skip
        axes.set_title(target)
        axes.set_xlabel("rank")
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.supylabel("singular value, relative to the largest", fontsize=10)
    figure.suptitle(title)
    return figure
