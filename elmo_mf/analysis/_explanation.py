"""`EXPLAIN.md` and its figures, next to a sweep's records."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from elmo_mf.analysis._findings import NORM, Findings, FreePair, compressions_of, findings_of, norm_correlation
from elmo_mf.analysis.correlations import ACTIVATION, LOSS, Correlation, Explanation, Interval, explain
from elmo_mf.errors import InputError
from elmo_mf.escape import markdown
from elmo_mf.figures import COLORS, MARKERS, in_both_themes, picture, save, themed
from elmo_mf.io import atomic_files, check_folder, write_text
from elmo_mf.leaderboard import SIGN, Unit, boards, outputs_of, records_of
from elmo_mf.progress import track
from elmo_mf.records.record import NORMS

_TARGETS = ("input", "recurrent", "projection")
_FEWEST_MODELS = 3  # for an answer over models


def write_explanation(folder: Path) -> tuple[Path, Findings, list[Explanation]]:
    """Write `folder/EXPLAIN.md` and a figure per board, atomically; the same records give the same text.

    Raises:
        InputError: There are no records, or none of a compression of one target with its error and norms.
        OutputError: A file cannot be written.
    """
    check_folder("FOLDER", folder)
    all_boards = boards(records_of(folder), outputs_of(folder))
    explanations = [one for one in map(explain, all_boards) if len(one.costs)]
    if not explanations:
        raise InputError(
            folder / "records",
            "found no compression of a single target with a dense encoder of the same seed, "
            "expected at least one; elmo-mf sweep --targets input,recurrent,projection runs some",
        )
    summary = findings_of(all_boards)
    answers = "\n".join(["## By board", "", board_table(summary), "", *findings(explanations)])
    parts = ["# What compresses, and why", *answer_lines(summary), _HEADER, answers, *map(_section, explanations)]
    with atomic_files(folder) as staging:
        for explanation in track(explanations, "figures", "boards"):
            in_both_themes(partial(plot_explanation, explanation), staging, f"explain-{explanation.board.name}")
        write_text(staging / "EXPLAIN.md", "\n\n".join(parts) + "\n")
    return folder / "EXPLAIN.md", summary, explanations


_HEADER = """This file repeats the analysis of Winata et al. 2019 for the records next to it; `elmo-mf explain`
rebuilds it. The paper's additive recurrence is the target `input`, its multiplicative recurrence the target
`recurrent`; `projection` occurs only in ELMo. The two answers are over all models with compressions of one target by
plain SVD, on tasks that can distinguish encoders: losses are in nats, and each model counts once, with the average of
its boards. ELMos with the same options count as one model, because the training of one may have continued the other's,
which records do not say. A board on which `input` and `recurrent` together cost nothing gives no ratio of their costs;
this rule was added after the first results had been seen, and the first answer names these boards. Below, a loss is the
amount by which the compressed encoder is worse than the dense one with the same seed, in points, or for language models
in nats per word (of the logarithm of perplexity); activation error is the relative error of the LSTM layers' outputs.
Intervals are 95 % intervals. Whether norms predict costs is judged by one norm, the Frobenius norm, on each board as
over all models; all other correlations are exploratory."""


def answer_lines(summary: Findings) -> list[str]:
    """Answer the paper's two questions over all models, each in a paragraph of Markdown."""
    costs = {"rank": summary.at_rank, "number of parameters": summary.at_parameters, "error": summary.at_error}
    known = {name: finding for name, finding in costs.items() if finding.boards}
    times = ", ".join(
        f"{_times(finding.mean)} times as much at equal {name} ({_models(finding.mean)})"
        for name, finding in known.items()
    )
    verdicts = {name: _direction(finding.mean) for name, finding in known.items()}
    norms = summary.norms.mean
    demo = "DEMO: " if summary.is_demo else ""
    where = "in perplexity, " if known and summary.in_perplexity else ""
    verdict = f"{where}{_all_agree(verdicts)}{_not_everywhere(summary.free)}".capitalize()
    return [
        f"**{demo}Does compressing the input's matrices cost more than the recurrent ones? {verdict}.** "
        + (f"{where}it costs {times}.".capitalize() if known else "No model gives a ratio of both costs.")
        + _free(summary.free),
        f"**{demo}Do larger norms cost more? {_direction(norms).capitalize()}.** Spearman's partial correlation of the "
        f"{NORM.capitalize()} norm with the loss, given size and rank: {_interval(norms)}, over "
        f"{_models(norms)}.",
    ]


def _models(one: Interval) -> str:
    return "1 model" if one.n == 1 else f"{one.n} models"


def _times(one: Interval) -> str:
    """Convert shares of both losses to how many times as much one costs as the other."""
    value, low, high = (_ratio(share) for share in (one.value, one.low, one.high))
    return value if np.isnan(one.low) else f"{value} [{low}, {high}]"


def _ratio(share: float) -> str:
    return "∞" if share >= 1 else f"{max(0.0, (1 + share) / (1 - share)):.2g}"


def _direction(one: Interval) -> str:
    if one.n < _FEWEST_MODELS:
        return "unknown, too few models"
    return "yes" if one.low > 0 else "no, less" if one.high < 0 else "undecided"


def _all_agree(verdicts: Mapping[str, str]) -> str:
    """Return the verdict if it is the same for all ways of comparing, else the verdict of each."""
    if len(set(verdicts.values())) < 2:
        return next(iter(verdicts.values()), "unknown")
    return "; ".join(f"at equal {name} {verdict}" for name, verdict in verdicts.items())


def _not_everywhere(free: Sequence[FreePair]) -> str:
    count = "1 other board" if len(free) == 1 else f"{len(free)} other boards"
    return f"; on {count} with verdicts, both together cost nothing" if free else ""


def _free(free: Sequence[FreePair]) -> str:
    """Describe the boards on which both together cost nothing."""
    if not free:
        return ""
    boards = "; ".join(
        f"{markdown(pair.board)}: `input` at rank {pair.rank} {_loss_text(pair.input, pair.unit)}, `recurrent` "
        f"{_loss_text(pair.recurrent, pair.unit)}"
        for pair in free
    )
    return (
        f" Without a ratio, by a rule made after results had been seen, and with these changes of the score: {boards}."
    )


def board_table(summary: Findings) -> str:
    """Return the numbers of each board, in Markdown."""
    columns = {
        "input / recurrent at equal rank": summary.at_rank,
        "at equal parameters": summary.at_parameters,
        "at equal error": summary.at_error,
        f"{NORM} norm with loss": summary.norms,
    }
    free = {pair.board for pair in summary.free}
    boards = dict.fromkeys([*(name for finding in columns.values() for name in finding.boards), *sorted(free)])
    without_ratio = "no cost"
    texts = {
        title: [
            (without_ratio if board in free and finding is not summary.norms else "") if board not in finding.boards
            else f"{finding.boards[board]:+.2f}" if finding is summary.norms
            else _ratio(finding.boards[board])
            for board in boards
        ]
        for title, finding in columns.items()
    }  # fmt: skip
    table = pd.DataFrame({"board": [markdown(board) for board in boards]} | texts)
    return table.to_markdown(index=False, disable_numparse=True, colalign=_alignment(5, 1))


def findings(explanations: list[Explanation]) -> list[str]:
    """Describe in Markdown whether the data agrees with the paper's two findings."""
    return [describe(explanation) for describe in (_additive, _norms, _most_expensive) for explanation in explanations]


def _additive(explanation: Explanation) -> str:
    one, task, unit = explanation.additive, markdown(explanation.board.title), Unit.of_loss(explanation.board.scoring)
    if one.n < 2:
        only = f", in which `input` costs {_loss_text(one, unit)} more" if one.n else ""
        return f"- **Additive recurrence costs more, {task}: no result**: {_PAIRS[one.n]}{only}."
    verdict = "agrees" if one.low > 0 else "disagrees" if one.high < 0 else "undecided"
    return (
        f"- **Additive recurrence costs more, {task}: {verdict}.** Compressing `input` costs {_loss_text(one, unit)} "
        f"more than `recurrent` at the same method, size, layers and seed, and more in {explanation.dearer} of {one.n} "
        f"pairs{_over(one)}."
    )


_PAIRS = ("no pair of `input` and `recurrent`", "one pair of `input` and `recurrent`")


def _over(one: Interval) -> str:
    """Describe the seeds that a mean's interval is over."""
    return ", with one seed and so no interval" if np.isnan(one.low) else f"; the interval is over {one.seeds} seeds"


def _norms(explanation: Explanation) -> str:
    """Judge the norm that was chosen beforehand, and list other correlations."""
    title, one = markdown(explanation.board.title), norm_correlation(compressions_of(explanation.board))
    if np.isnan(one.value):
        return (
            f"- **Norms predict costs, {title}: no result**: too few compressions of one layer by plain SVD, or equal "
            f"norms or losses.{_others(explanation)}"
        )
    verdict = "undecided" if not one.excludes_zero else "agrees" if one.value > 0 else "disagrees"
    probability = "" if one.p is None else f", p {_p(one)}"
    return (
        f"- **Norms predict costs, {title}: {verdict}.** Spearman's partial correlation of the "
        f"{NORM.capitalize()} norm with the loss, given size and rank: {_interval(one)}{probability}, over "
        f"{one.n} places that were compressed alone.{_others(explanation)}"
    )


def _others(explanation: Explanation) -> str:
    """List the correlations with losses and activation errors that exclude zero."""
    known = [row for row in explanation.correlations if row.outcome in (LOSS, ACTIVATION)]
    known = [row for row in known if not np.isnan(row.spearman.value)]
    clear = [row for row in known if row.spearman.excludes_zero]
    if not known:
        return ""
    named = f"those that exclude zero are {_named(clear)}" if clear else "none excludes zero"
    return f" Exploratory, of {len(known)} rank correlations of norms at one rank, with sizes not taken out: {named}."


def _named(rows: list[Correlation]) -> str:
    return "; ".join(
        f"{row.norm.replace('_', ' ')} with {row.outcome} {_interval(row.spearman)}, p {_p(row.spearman)}"
        for row in rows
    )


def _most_expensive(explanation: Explanation) -> str:
    """Describe which matrices cost most per parameter saved, a question that the paper does not ask."""
    rows, first = sorted(_dicts(explanation.costs), key=lambda row: -row["activation_per"]), explanation.first
    unit = Unit.of_loss(explanation.board.scoring)
    dear, cheap = (
        f"`{row['target']}` of {'all layers' if row['layers'] == 'all' else 'layer ' + row['layers']} "
        f"({row['activation_per']:.2f} and {unit.signed(row['loss_per'])} {unit.name})"
        for row in (rows[0], rows[-1])
    )
    text = (
        f"- **Most expensive, {markdown(explanation.board.title)}**: {dear}, by activation error per 100,000 "
        f"parameters saved; the cheapest is {cheap}."
    )
    if first.n < 2:
        return text
    return f"{text} Layer 0 costs {_loss_text(first, unit)} more than layer 1, in {first.n} pairs{_over(first)}."


def _section(explanation: Explanation) -> str:
    board = explanation.board
    unit = Unit.of_loss(board.scoring).name
    table = cost_table(explanation)
    table["method"], table["size"] = table["method"].map(markdown), table["size"].map(markdown)
    costs = table.to_markdown(index=False, disable_numparse=True, colalign=_alignment(9, 4))
    norms = norm_table(explanation).to_markdown(index=False, disable_numparse=True, colalign=_alignment(7, 2))
    return f"""## {markdown(board.title)}

The cost of each target: the loss in {unit} with its standard error over seeds, the activation error,
and both per 100,000 parameters saved.

{costs}{_mixed(explanation)}

Exploratory correlations with norms, over the compressions above of one method and size (loss, activation error), and
over all matrices of the plain SVD with the lowest rank (matrix error, error on inputs). No matrix is in two of these
compressions: a compression of all layers is left out if there are compressions of each. Norms are those of the dense
matrices, averaged over directions; L1, Frobenius and nuclear norm also grow with a matrix's size, and the error of a
matrix depends on the same singular values as its norms. The paper expects all correlations to be positive. p is the
two-sided p value of Spearman's correlation, by all permutations for up to eight values. Two dozen correlations are
computed per task, sizes are not taken out, and by chance one in twenty excludes zero: they give no verdict.

{norms}

{picture(f"explain-{board.name}", f"Costs of each matrix, and norms against them: {board.title}")}"""


def _mixed(explanation: Explanation) -> str:
    """Explain the sign for other machines, if it is used."""
    if not explanation.costs["mixed"].any():
        return ""
    return (
        f"\n\n{SIGN} scored on another kind of machine than the dense encoder with the same seed, which alone changes "
        "a\nscore about as much as another seed does."
    )


def _alignment(columns: int, left: int) -> list[str]:
    return ["left"] * left + ["right"] * (columns - left)


def cost_table(explanation: Explanation) -> pd.DataFrame:
    """Return the costs as text."""
    costs, unit = explanation.costs, Unit.of_loss(explanation.board.scoring)
    spread = [
        ("" if np.isnan(se) else f" ± {unit.text(se)}") + (f" {SIGN}" if mixed else "")
        for se, mixed in zip(costs["loss_se"], costs["mixed"], strict=True)
    ]
    return pd.DataFrame(
        {
            "target": costs["target"],
            "layer": costs["layers"],
            "method": costs["method"],
            "size": costs["size"],
            "seeds": costs["seeds"].astype(str),
            "loss": [f"{unit.signed(loss)}{se}" for loss, se in zip(costs["loss"], spread, strict=True)],
            "activ.": [f"{x:.3f}" for x in costs["activation"]],
            "loss/100k": [unit.signed(x, more=1) for x in costs["loss_per"]],
            "activ./100k": [f"{x:.3f}" for x in costs["activation_per"]],
        }
    )


def norm_table(explanation: Explanation) -> pd.DataFrame:
    """Return the correlations as text."""
    rows = explanation.correlations
    return pd.DataFrame(
        {
            "norm": [row.norm.replace("_", " ") for row in rows],
            "with": [row.outcome for row in rows],
            "n": [str(row.pearson.n) for row in rows],
            "Pearson": [_interval(row.pearson) for row in rows],
            "Spearman": [_interval(row.spearman) for row in rows],
            "p": [_p(row.spearman) for row in rows],
            "excludes zero": [_excludes_zero(row.spearman) for row in rows],
        }
    )


def _p(one: Interval) -> str:
    return "" if one.p is None else f"{one.p:.3f}" if one.p >= 0.001 else "< 0.001"


def _excludes_zero(one: Interval) -> str:
    return "" if not one.excludes_zero else "yes" if one.value > 0 else "yes, negative"


def norm_summary(explanation: Explanation) -> pd.DataFrame:
    """Return Spearman's correlations as text, a row per norm and a column per outcome."""
    texts: dict[str, dict[str, str]] = {}
    for row in explanation.correlations:
        one = row.spearman
        text = "" if np.isnan(one.value) else f"{one.value:+.2f}{'*' if one.excludes_zero else ' '}"
        texts.setdefault(row.outcome, {})[row.norm] = text
    columns = {outcome: [by_norm[norm] for norm in NORMS] for outcome, by_norm in texts.items()}
    return pd.DataFrame({"norm": NORMS} | columns)


def plot_explanation(explanation: Explanation, path: Path, theme: str) -> None:
    """Write a figure: loss and activation error by target and layer, and each norm against both.

    Args:
        explanation: The analysis of a board.
        path: File to write; its suffix determines the format.
        theme: Theme of the figure, `light` or `dark`.
    """
    from matplotlib.figure import Figure

    unit = Unit.of_loss(explanation.board.scoring)
    with themed(theme):
        figure = Figure(figsize=(3 * len(NORMS), 9), layout="constrained")
        grid = figure.add_gridspec(3, len(NORMS))
        width = len(NORMS) // 2
        for column, (name, title, scale) in enumerate(
            (("loss", f"loss, {unit.name}", unit.factor), ("activation", "activation error", 1))
        ):
            top = figure.add_subplot(grid[0, column * width : (column + 1) * width])
            draw_bars(top, explanation.costs, name, title, scale)
        for row, outcome in enumerate((LOSS, ACTIVATION), start=1):
            for column, norm in enumerate(NORMS):
                axes = figure.add_subplot(grid[row, column])
                _scatter(axes, explanation.points[outcome], norm, unit.factor if outcome == LOSS else 1)
                axes.set_xlabel(norm.replace("_", " "))
                axes.set_ylabel(f"{outcome}{f', {unit.name}' if outcome == LOSS else ''}" if column == 0 else "")
        signs = {
            label: sign for one in (top, axes) for sign, label in zip(*one.get_legend_handles_labels(), strict=True)
        }
        figure.legend(signs.values(), signs.keys(), loc="outside lower center", ncols=4, frameon=False)
        figure.suptitle(f"{explanation.board.title}; {_what_labels_say(explanation)}")
        save(figure, path)


def _what_labels_say(explanation: Explanation) -> str:
    layers = [layers for points in explanation.points.values() if len(points) for layers in points["layers"]]
    directions = ", f forward, b backward" if any(_short(one) != one for one in layers) else ""
    return f"numbers at points are layers{directions}"


def _short(layers: str) -> str:
    """Shorten `0 forward` to `0f`, because points lie close together."""
    return layers.replace(" forward", "f").replace(" backward", "b")


def draw_bars(axes: Any, costs: pd.DataFrame, name: str, title: str, scale: int) -> None:
    """Draw a bar per compression, grouped by method, size and layers, with a colour and hatch per target.

    Args:
        axes: Axes of matplotlib.
        costs: A row per compression of a single target.
        name: The column that is drawn, such as `loss`, which has error bars of `loss_se`.
        title: Title of the axes.
        scale: Factor of the values, such as 100 for percent.
    """
    ink = axes.xaxis.label.get_color()
    groups = sorted({_group(row) for row in _dicts(costs)}, key=_by_size)
    targets = sorted(costs["target"].unique(), key=_place) if len(costs) else []
    width = 0.8 / max(1, len(targets))
    for index, target in enumerate(targets):
        rows = costs[costs["target"] == target]
        places = [groups.index(_group(row)) + (index - (len(targets) - 1) / 2) * width for row in _dicts(rows)]
        axes.bar(
            places, scale * rows[name], width, color=COLORS[_place(target)], hatch=_HATCHES[_place(target)],
            edgecolor=ink, yerr=scale * rows["loss_se"].fillna(0) if name == "loss" else None, ecolor=ink, capsize=2,
            label=target,
        )  # fmt: skip
    axes.axhline(0, color=ink, linewidth=0.8)
    labels = [f"{method} {size}" + ("" if layers == "all" else f", layer {layers}") for method, size, layers in groups]
    axes.set_xticks(range(len(groups)), labels, fontsize=8, rotation=90 if len(groups) > 3 else 0)
    axes.set_title(title, fontsize=10)


def _group(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["method"], row["size"], row["layers"]


def _by_size(group: tuple[str, str, str]) -> tuple[str, list[int], str, str]:
    method, size, layers = group
    return method, [int(number) for number in re.findall(r"\d+", size)], size, layers


def _scatter(axes: Any, points: pd.DataFrame, norm: str, scale: int) -> None:
    ink = axes.xaxis.label.get_color()
    for target, rows in points.groupby("target"):
        color, marker = COLORS[_place(target)], MARKERS[_place(target)]
        axes.scatter(rows[norm], scale * rows["outcome"], c=color, marker=marker, edgecolors=ink, label=target, s=40)
        for _, row in rows.iterrows():
            place = (row[norm], scale * row["outcome"])
            axes.annotate(_short(row["layers"]), place, fontsize=8, xytext=(4, 3), textcoords="offset points")
    axes.margins(0.15)


_HATCHES = ("", "//", "..", "xx")


def _place(target: Any) -> int:
    """Return the index of a target's colour, marker and hatch."""
    return _TARGETS.index(target) if target in _TARGETS else len(_TARGETS)


def _dicts(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


def _interval(one: Interval) -> str:
    within = "" if np.isnan(one.low) else f" [{one.low:+.2f}, {one.high:+.2f}]"
    return "too few" if np.isnan(one.value) else f"{one.value:+.2f}{within}"


def _loss_text(one: Interval, unit: Unit) -> str:
    within = "" if np.isnan(one.low) else f" [{unit.signed(one.low)}, {unit.signed(one.high)}]"
    return f"{unit.signed(one.value)}{within} {unit.name}"
