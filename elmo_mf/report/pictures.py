"""How every picture is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from elmo_mf.bilm.checkpoint import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure, atomically; the ending of `path` says the kind. The same figure gives the same SVG anywhere.

    # Raises
    ValueError: matplotlib does not know the ending.
    """
    import matplotlib as mpl

    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        # the layout's last bits are the processor's, and names in an SVG are hashes of all bits
        axes.set_position([round(x, 4) for x in axes.get_position().bounds])  # type: ignore[arg-type]
    about = {"metadata": {"Date": None}} if path.suffix == ".svg" else {}
    with mpl.rc_context({"svg.hashsalt": "elmo-mf"}), atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or None, **about)  # type: ignore[arg-type]
