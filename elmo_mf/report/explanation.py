"""`EXPLAIN.md` and its figures, beside a sweep's records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from elmo_mf.bilm.checkpoint import atomic_path
from elmo_mf.errors import InputError
from elmo_mf.factorize.norms import NORMS
from elmo_mf.harness.store import ResultStore
from elmo_mf.report.aggregate import boards
from elmo_mf.report.explain import ACTIVATION, LOSS, Explanation, Interval, explain

_TARGETS = ("input", "recurrent", "projection")


def write_explanation(folder: Path) -> tuple[Path, list[Explanation]]:
    """Write `folder/EXPLAIN.md`, and a figure a task; the same records give the same text.

    # Raises
    InputError: there are no records, or none of a compression of one target with its error and norms.
    """
    records = ResultStore(folder).records()
    if not records:
        raise InputError(f"{folder / 'records'}: found no records, expected those of a sweep")
    made = [explanation for explanation in map(explain, boards(records)) if len(explanation.costs)]
    if not made:
        raise InputError(
            f"{folder / 'records'}: found no compression of one target beside a dense encoder of the same seed, "
            "expected some: elmo-mf sweep --targets input,recurrent,projection"
        )
    parts = [_HEADER]
    for index, explanation in enumerate(made):
        figure = folder / f"explain-{explanation.board.task.name}{index if _repeated(made, explanation) else ''}.svg"
        plot_explanation(explanation, figure)
        parts.append(_section(explanation, figure.name))
    parts.insert(1, "\n".join(["## The paper's two findings", "", *findings(made)]))
    path = folder / "EXPLAIN.md"
    with atomic_path(path) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path, made


_HEADER = """# What compresses, and why

The analysis of Winata et al. 2019 on the records beside this file, rebuilt by `elmo-mf explain`. Of the paper's terms,
additive recurrence is the target `input`, multiplicative recurrence the target `recurrent`; `projection` is ELMo's own.
A loss is the score of the dense encoder with the same seed less that of the compressed one, in points; activation error
is the relative error of the biLSTM layers' outputs. Intervals are of 95 %."""


def _repeated(made: list[Explanation], own: Explanation) -> bool:
    return sum(other.board.task.name == own.board.task.name for other in made) > 1


def findings(made: list[Explanation]) -> list[str]:
    """Where the data agrees with the paper's two findings, and where it does not; Markdown."""
    return [_additive(explanation) for explanation in made] + [_norms(explanation) for explanation in made]


def _additive(explanation: Explanation) -> str:
    one, task = explanation.difference, explanation.board.task.title
    if one.n < 2:
        return f"- **Additive matters more, {task}: nothing to say**: too few pairs of `input` and `recurrent`."
    verdict = "agrees" if one.low > 0 else "disagrees" if one.high < 0 else "undecided"
    return (
        f"- **Additive matters more, {task}: {verdict}.** Compressing `input` costs {_points_text(one)} points more "
        f"than `recurrent` at the same method, size, layers and seed ({one.n} pairs)."
    )


def _norms(explanation: Explanation) -> str:
    task = explanation.board.task.title
    rows = explanation.correlations
    rows = rows[rows["outcome"].isin((LOSS, ACTIVATION))]
    told = [row for row in _dicts(rows) if row["spearman"].n >= 4]
    if not told:
        return f"- **Norms tell, {task}: nothing to say**: fewer than four compressions of one target."
    clear = [row for row in told if row["spearman"].excludes_zero]
    best = max(told, key=lambda row: abs(row["spearman"].value))
    if clear:
        names = "; ".join(f"{row['norm']} with {row['outcome']} {_interval(row['spearman'])}" for row in clear)
        return f"- **Norms tell, {task}: agrees** where Spearman's correlation is clear of zero: {names}."
    return (
        f"- **Norms tell, {task}: undecided.** No norm's Spearman correlation with a loss or an activation error is "
        f"clear of zero over {best['spearman'].n} compressions; the largest is {best['norm']} with {best['outcome']}, "
        f"{_interval(best['spearman'])}."
    )


def _section(explanation: Explanation, figure: str) -> str:
    task = explanation.board.task
    costs = cost_table(explanation).to_markdown(index=False, disable_numparse=True, colalign=_alignment(9, 4))
    norms = norm_table(explanation).to_markdown(index=False, disable_numparse=True, colalign=_alignment(6, 2))
    return f"""## {task.title}

What each target costs; a hundred thousand parameters is the unit of the last two columns.

{costs}

What norms say, over the compressions above of one method and size (loss, activation error), and over all matrices of
the lowest-ranked plain SVD (matrix error, error on inputs). Norms are those of the dense matrices, the mean over
directions; L1, Frobenius and nuclear norm also grow with a matrix's size. A dozen correlations a task are looked at, so
that one in twenty is clear of zero by chance.

{norms}

![costs and norms]({figure})"""


def _alignment(columns: int, left: int) -> list[str]:
    return ["left"] * left + ["right"] * (columns - left)


def cost_table(explanation: Explanation) -> pd.DataFrame:
    """Costs as text."""
    costs = explanation.costs
    spread = ["" if np.isnan(se) else f" ± {100 * se:.1f}" for se in costs["loss_se"]]
    return pd.DataFrame(
        {
            "target": costs["target"],
            "layer": costs["layers"],
            "method": costs["method"],
            "size": costs["size"],
            "seeds": costs["seeds"].astype(str),
            "loss ± s.e.": [f"{100 * loss:+.1f}{se}" for loss, se in zip(costs["loss"], spread, strict=True)],
            "activation error": [f"{x:.3f}" for x in costs["activation"]],
            "loss per 100k saved": [f"{100 * x:+.2f}" for x in costs["loss_per"]],
            "activation error per 100k saved": [f"{x:.3f}" for x in costs["activation_per"]],
        }
    )


def norm_table(explanation: Explanation) -> pd.DataFrame:
    """Correlations as text."""
    rows = _dicts(explanation.correlations)
    return pd.DataFrame(
        {
            "norm": [row["norm"].replace("_", " ") for row in rows],
            "with": [row["outcome"] for row in rows],
            "n": [str(row["pearson"].n) for row in rows],
            "Pearson": [_interval(row["pearson"]) for row in rows],
            "Spearman": [_interval(row["spearman"]) for row in rows],
            "clear of zero": ["yes" if row["spearman"].excludes_zero else "" for row in rows],
        }
    )


def plot_explanation(explanation: Explanation, path: Path) -> None:
    """Write a picture: loss and activation error by target and layer, and each norm against both."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(NORMS), 9), layout="constrained")
    grid = figure.add_gridspec(3, len(NORMS))
    half = len(NORMS) // 2
    for column, (name, title) in enumerate((("loss", "loss, points"), ("activation", "activation error"))):
        _bars(figure.add_subplot(grid[0, column * half : (column + 1) * half]), explanation.costs, name, title)
    for row, outcome in enumerate((LOSS, ACTIVATION), start=1):
        for column, norm in enumerate(NORMS):
            axes = figure.add_subplot(grid[row, column])
            _scatter(axes, explanation.points[outcome], norm, 100 if outcome == LOSS else 1)
            axes.set_xlabel(norm.replace("_", " "))
            axes.set_ylabel(f"{outcome}{', points' if outcome == LOSS else ''}" if column == 0 else "")
    figure.suptitle(explanation.board.task.title)
    with mpl.rc_context({"svg.hashsalt": "elmo-mf"}), atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def _bars(axes: Any, costs: pd.DataFrame, name: str, title: str) -> None:
    scale = 100 if name == "loss" else 1
    labels = [f"{row['target']}\nlayer {row['layers']}\n{row['method']} {row['size']}" for row in _dicts(costs)]
    errors = scale * costs["loss_se"].fillna(0) if name == "loss" else None
    colors = [f"C{_TARGETS.index(target) if target in _TARGETS else 3}" for target in costs["target"]]
    axes.bar(range(len(costs)), scale * costs[name], yerr=errors, color=colors, capsize=3)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(costs)), labels, fontsize=8)
    axes.set_title(title, fontsize=10)


def _scatter(axes: Any, points: pd.DataFrame, norm: str, scale: int) -> None:
    for target, own in points.groupby("target"):
        color = f"C{_TARGETS.index(str(target)) if target in _TARGETS else 3}"
        axes.scatter(own[norm], scale * own["outcome"], color=color, label=target, s=36)
        for _, row in own.iterrows():
            axes.annotate(
                row["layers"],
                (row[norm], scale * row["outcome"]),
                fontsize=8,
                xytext=(4, 3),
                textcoords="offset points",
            )
    axes.legend(fontsize=7)
    axes.margins(0.15)


def _dicts(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


def _interval(one: Interval) -> str:
    return "too few" if np.isnan(one.value) else f"{one.value:+.2f} [{one.low:+.2f}, {one.high:+.2f}]"


def _points_text(one: Interval) -> str:
    return f"{100 * one.value:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"
