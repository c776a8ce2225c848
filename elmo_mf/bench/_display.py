"""Terminal table and plot of a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from elmo_mf.bench._benchmark import BenchResult
from elmo_mf.figures import COLORS, save, themed

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from elmo_mf.bench._cases import Case
    from elmo_mf.bench._limits import Limits
    from elmo_mf.bench._measure import Timing


def bench_table(case: Case, timings: list[Timing], limits: Limits) -> Table:
    """Build the table of one case, with one row per variant.

    Args:
        case: The case.
        timings: The timings of its variants.
        limits: The machine's limits, which rates are shown as shares of.
    """
    from rich.table import Table

    table = Table(title=str(case), title_justify="left", box=None, pad_edge=False)
    for title in ("encoder", "ms", "25-75 %", "ratio", "GB/s", "", "GFLOP/s", "", "error"):
        table.add_column(title, justify="left" if title == "encoder" else "right", no_wrap=True)
    for timing in timings:
        low, high = timing.spread_ms
        table.add_row(
            timing.variant,
            f"{timing.median_ms:.4g}",
            f"{low:.3g}-{high:.3g}",
            "" if timing.ratio is None else f"{timing.ratio:.2f}x",
            f"{timing.gb_s:.1f}",
            f"{timing.read_share(limits):.0%}",
            f"{timing.gflop_s:.1f}",
            f"{timing.product_share(limits):.0%}",
            "" if timing.error is None else f"{timing.error:.0e}",
        )
    return table


def plot_bench(result: BenchResult, path: Path, theme: str = "light") -> None:
    """Plot the speed-up over AllenNLP in every case.

    Args:
        result: The benchmark.
        path: File to write; its suffix determines the format.
        theme: Theme of the figure. Defaults to `light`.

    Raises:
        ValueError: matplotlib does not support the suffix.
    """
    with themed(theme):
        save(_bars(result), path)


def _bars(result: BenchResult) -> Figure:
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(9, 1.2 + 0.3 * sum(map(len, result.timings.values()))), layout="constrained")
    axes = figure.subplots()
    labels, position = [], 0
    for case, timings in result.timings.items():
        shown = [timing for timing in timings if timing.ratio is not None][1:]
        places = [position + 1 + index for index in range(len(shown))]
        bars = axes.barh(places, [timing.ratio or 0 for timing in shown], height=0.8, color=COLORS[0])
        axes.bar_label(bars, [f" {timing.ratio:.1f}x, {_milliseconds(timing)}" for timing in shown], fontsize=8)
        axes.text(1.05, position, str(case), fontsize=9, fontweight="bold", va="center")
        labels += [(place, timing.variant) for place, timing in zip(places, shown, strict=True)]
        position += len(shown) + 1
    axes.set_yticks([place for place, _ in labels], [label for _, label in labels], fontsize=8)
    axes.set_ylim(position, -1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.margins(x=0.3)
    axes.axvline(1, color=mpl.rcParams["lines.color"], linewidth=1)
    axes.set_xlabel("times as fast as AllenNLP's ELMo")
    axes.set_title(f"{result.encoder}")
    return figure


def _milliseconds(timing: Timing) -> str:
    return f"{timing.median_ms:.0f} ms" if timing.median_ms >= 100 else f"{timing.median_ms:.3g} ms"
