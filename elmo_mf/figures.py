"""Style of all figures, in a light and a dark theme, and functions that write them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmo_mf.escape import html
from elmo_mf.io import atomic_path, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


THEMES = {"light": ("#ffffff", "#1f2328"), "dark": ("#0d1117", "#e6edf3")}  # colours of background and ink
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8a8a8a", "#b2a300")
"""The palette of Okabe and Ito, which colour-blind readers can distinguish, and two more colours."""
MARKERS = "os^Dv<>PX"


@contextmanager
def themed(theme: str) -> Iterator[None]:
    """Use the colours of a theme within the context; text in SVG files stays text."""
    import matplotlib as mpl

    ground, ink = THEMES[theme]
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "lines.color")
    grounds = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    values: Any = dict.fromkeys(inks, ink) | dict.fromkeys(grounds, ground)
    # dollar signs do not start formulas, and viewers choose a font for missing glyphs
    settings = {"font.size": 9, "svg.fonttype": "none", "text.parse_math": False}
    with mpl.rc_context(values | settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def picture(name: str, description: str) -> str:
    """Return Markdown that shows `NAME-light.svg` or, on a dark page, `NAME-dark.svg`.

    Args:
        name: Path of the figure without its theme and extension.
        description: The alternative text.
    """
    dark = f'<source media="(prefers-color-scheme: dark)" srcset="{name}-dark.svg">'
    return f'<picture>{dark}<img alt="{html(description)}" src="{name}-light.svg"></picture>'


def in_both_themes(draw: Callable[[Path, str], object], folder: Path, name: str) -> None:
    """Write `NAME-light.svg`, and a copy in the colours of the dark theme as `NAME-dark.svg`.

    Args:
        draw: Writes the figure to a path in a theme.
        folder: Folder of the files.
        name: NAME.
    """
    light, dark = (folder / f"{name}-{theme}.svg" for theme in THEMES)
    draw(light, "light")
    write_text(dark, darkened(light.read_text(encoding="utf-8")))


def darkened(svg: str) -> str:
    """Return a figure of the light theme in the colours of the dark one."""
    colors = dict(zip(THEMES["light"], THEMES["dark"], strict=True))
    pattern = re.compile(f'(?<=fill: |roke: |fill="|roke=")({"|".join(colors)})(?=[;"])')
    return pattern.sub(lambda color: colors[color[0]], svg)


def save(figure: Figure, path: Path) -> None:
    """Write a figure atomically, in the format of the file name extension.

    The same figure gives the same SVG file on every machine.

    Args:
        figure: The figure.
        path: The file.

    Raises:
        ValueError: Matplotlib does not know the extension.
    """
    import matplotlib as mpl

    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        # the last bits of the layout differ between processors, and identifiers in an SVG are hashes of all bits
        axes.set_position([round(x, 4) for x in axes.get_position().bounds])  # type: ignore[arg-type]
    extra = {"metadata": {"Date": None}} if path.suffix == ".svg" else {}
    with mpl.rc_context({"svg.hashsalt": "elmo-mf"}), atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or None, **extra)  # type: ignore[arg-type]
