"""Write the leaderboard as `README.md` in a folder of records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from elmo_mf.escape import code, markdown
from elmo_mf.figures import darkened, picture
from elmo_mf.io import write_text
from elmo_mf.leaderboard._charts import figure, methods_of
from elmo_mf.leaderboard._headline import in_short, leading, overview, recommendations
from elmo_mf.leaderboard._machines import SIGN
from elmo_mf.leaderboard._origin import Origin
from elmo_mf.leaderboard._table import table
from elmo_mf.leaderboard._units import Unit
from elmo_mf.leaderboard._use import use_of
from elmo_mf.leaderboard._vega import draw
from elmo_mf.leaderboard.aggregate import Board, Row
from elmo_mf.progress import stage, track
from elmo_mf.records import Record
from elmo_mf.records.identity import View


def write_leaderboard(boards: Sequence[Board], folder: Path) -> Path:
    """Write `README.md` and its figures into a folder; the same boards give the same bytes.

    Args:
        boards: The boards.
        folder: The folder.

    Returns:
        The path of `README.md`.
    """
    write_figures(boards, folder)
    path = folder / "README.md"
    write_text(path, readme(boards))
    return path


def readme(boards: Sequence[Board]) -> str:
    """Return the leaderboard in Markdown, which refers to the files of `write_figures`."""
    shown = leading(boards) if len(boards) > 1 else None
    sections = [_section(board, pictured=board is not shown) for board in boards]
    return "\n\n".join([_TITLE, summary(boards), *sections, NOTES, header(boards)]) + "\n"


def write_figures(boards: Sequence[Board], folder: Path) -> None:
    """Write a figure of each board as `board-NAME-light.svg`, and in the dark theme as `board-NAME-dark.svg`.

    Args:
        boards: The boards.
        folder: The folder.
    """
    methods = methods_of(boards)
    specifications = [figure(board, methods) for board in track(boards, "figures", "boards")]
    with stage("drawing", 1, "program"):
        images = draw(specifications)
    for board, image in zip(boards, images, strict=True):
        write_text(folder / f"board-{board.name}-light.svg", image)
        write_text(folder / f"board-{board.name}-dark.svg", darkened(image))


_TITLE = """# Leaderboard

Compressed encoders compared with the dense one, from the records next to this file. Open `index.html` in a browser to
sort and filter the tables, for more columns, and to inspect the records."""

NOTES = """## How to read it

- **vs dense** is the mean difference to the dense encoder with the same seed, with its 95 % interval; the ± of a score
  is half of its 95 % interval. The difference is over the seeds that both have, so that it may differ from that of the
  two scores. If runs stored each test example's contribution, intervals include the choice of the
  test examples (or of documents, if examples share them) and of the seeds, as crossed random effects (Dorfman, Berbaum
  and Metz 1992); otherwise that of the seeds alone. Seed variances are shrunk robustly towards the table's median
  (Smyth 2004; Phipson et al. 2016). In figures, the dotted line is the dense encoder, and a bar is the interval of the
  difference to it.
- **verdict**: *equivalent* is not worse than dense by the margin or more, *better* is better than dense, *worse* is
  worse than dense, possibly by the margin or more; *undecided* says what would decide it. All verdicts of a table hold
  simultaneously with 95 % confidence (step-down procedure of Holm 1979), so that a verdict requires more than the
  interval in its row. A table gives no verdicts if its dense encoder does not beat every baseline, or if it is not
  better than an encoder of shuffled weights by ten half widths; a table without baselines gives no recommendation.
- **What is recommended** is better than or equivalent to dense on *validation* data, and by its verdict in the table,
  both corrected for all encoders of the table; no score decides between several. **★** marks the fastest of them (by
  its times at batch 1 and 32), in tables and in figures. Its costs in the other tables of the same ELMo that give
  verdicts and have baselines stand next to it, for perplexity in percent of dense's. The encoder to take first is the
  smallest that could be recommended in all of these tables. In `elmo-mf recommend`, *safe* is the encoder whose score
  is shown to change least, by the larger end of its interval on validation data.
- **◆** marks the Pareto front, on which no encoder is as good with fewer multiply-adds; the lines of the figures are
  the fronts by the quantity of their axis. **†** marks a score within two standard errors of chance.
- **evidence** is seeds x test examples, or only seeds, or, if nothing is trained, only examples. A run that collapsed,
  whose model learned nothing from its inputs, is counted but never averaged.
- **MB** counts the weights of the whole encoder, with the character CNN, or a language model's embedding and softmax,
  stored in the encoder's precision: 4 bytes a number in float32, 2 in bfloat16, and 1 for matrices in int8. **times as
  fast** refers to the encoder, from characters; for a language model, batch 1 is a step of generation. Compared with
  AllenNLP or `torch.nn.LSTM` it includes the gain of this project's runtime, which the dense row shows separately. Both
  are timed alternately in one process, on sentences of the scored split. **Sentences a second**, in
  batches of 32, are the speed relative to the original times the original's median speed in the table, because the load
  of a machine differs between runs.
- A **baseline**, below the encoders, replaces the encoder to show the task's score without a trained one. *no ELMo* is
  the task's model, or a probe, with word vectors alone; *token layer alone* the ELMo without its LSTMs; *shuffled
  weights* the ELMo with the numbers of each matrix in random order; *words alone* a linear model of the words. A
  *smaller ELMo* was pretrained at its size, and dense does not have to beat it.
- **‡** marks an encoder that was scored on another kind of machine (processor, instruction set or GPU) than the dense
  encoder with the same seed, or on several kinds. The machine alone changes a score about as much as another seed does,
  which the interval does not include, so that such an encoder gets no verdict, and more seeds would not decide it. If
  at least three seeds have a dense encoder on the same kind of machine, the difference is over these seeds alone.
- `index.html` has more columns: **activation error** is |compressed - dense| / |dense| of the LSTM layers' outputs on
  sentences of the scored split; **parameters** and **LSTMs smaller** count the LSTMs only; **multiply-adds** are per
  token and those of the whole encoder. Pruned matrices have fewer parameters but take as long as dense ones. A
  **budget** is allocated by the effect of each matrix's error on the LSTM layers' outputs, or **by matrices**, by the
  errors of the matrices themselves, or **by loss**, by their predicted effect on the loss; **highways** are those of
  the character CNN."""


_VIEWS: dict[View, str] = {
    "swapped": "The task's model was trained with the dense encoder; others take its place without further training.",
    "tuned": "The task's model was trained with the dense encoder, and for one more epoch with each in its place.",
}
_LANGUAGE_MODEL = (
    "Lower is better. The encoder is the model's own core, a stack of LSTMs, and dense times are those of "
    "`torch.nn.LSTM`: batch 1 is a step of generation, one word; batch 32 is scoring, 32 texts of 70 words."
)


def header(boards: Sequence[Board]) -> str:
    """Return what was run, on what, and where, in Markdown."""
    origin = Origin.of_all(board.origin for board in boards)
    lines = [f"- {name}: {text}" for name, text in origin.lines().items()]
    took = f"{origin.count} runs, {origin.seconds / 3600:.1f} hours"
    rebuilt = f"- {took}; rebuilt by `elmo-mf leaderboard .` in this folder"
    return "\n".join(["## What was run", "", *lines, rebuilt])


def summary(boards: Sequence[Board]) -> str:
    """Return what to take, and why; for several boards in three sentences, a figure and a table."""
    if len(boards) < 2:
        return "\n".join(["## In short", "", *(f"**{markdown(board.title)}**: {in_short(board)}" for board in boards)])
    first = leading(boards)
    parts = ["## In short", overview(boards), *([] if first is None else [_picture(first)])]
    table = recommendations(boards)
    alignment = ["left", "left"] + ["right"] * (table.shape[1] - 2)
    return "\n\n".join([*parts, str(table.to_markdown(index=False, colalign=alignment, disable_numparse=True))])


def _picture(board: Board) -> str:
    alternative = f"{Unit.of(board.scoring).title} against speed, size and rank: {board.title}"
    return picture(f"board-{board.name}", alternative)


def _section(board: Board, pictured: bool) -> str:
    frame = table(board, markdown, "**{}**")
    frame.columns = pd.Index([markdown(str(name)) for name in frame.columns])
    commands = _commands(board)
    partial = np.array([row.is_partial for row in board.rows])
    parts = [f"## {markdown(board.title)}", remarks(board), *([_picture(board)] if pictured else [])]
    if partial.all() or not partial.any():
        return "\n\n".join([*parts, _rows(frame), *commands])
    folded = f"<details><summary>Encoders with some layers or directions compressed: {partial.sum()}</summary>"
    return "\n\n".join([*parts, _rows(frame[~partial]), folded, _rows(frame[partial]), "</details>", *commands])


def _commands(board: Board) -> list[str]:
    """Return a folded table of what creates each encoder; nothing for a board of dense ones and baselines."""
    uses = {row.encoder: use for row in board.rows if (use := use_of(row, board))}
    if not uses:
        return []
    commands = [code(use).replace("|", r"\|") for use in uses.values()]
    cells = pd.DataFrame({"encoder": map(markdown, uses), "command or setting": commands})
    rows = str(cells.to_markdown(index=False, disable_numparse=True))
    return ["<details><summary>Command or setting for each encoder</summary>", rows, "</details>"]


def _rows(frame: pd.DataFrame) -> str:
    alignment = ["left"] + ["right"] * (frame.shape[1] - 1)
    return str(frame.to_markdown(index=False, colalign=alignment, disable_numparse=True))


def remarks(board: Board) -> str:
    """Return the remarks that precede a board's table, in Markdown."""
    scoring, record, unit = board.scoring, board.first, Unit.of(board.scoring)
    sizes = ", ".join(f"{count:,} {split}" for split, count in record.examples.items())
    real = f"{markdown(record.task.source)}; {markdown(record.task.licence)}"
    source = "demo data written for this project" if board.is_demo else real
    percent = " %" if unit.factor == 100 else ""
    margin = f"Verdicts are at a margin of {markdown(unit.amount(board.margin))}."
    chance = f"{unit.text(board.chance)}{percent}"
    metric = f"The metric is {markdown(scoring.primary)} on the {scoring.split} split; chance is {chance}."
    remark = markdown(board.trust.remark)
    first = "" if not remark else f"{remark} " if board.trust.decides else f"**{remark}** "
    data = f"{sizes} examples. Data: {source}. Timed on {board.origin.timed_on()}."
    return f"{first}{margin} {metric} {data}{_caveats(board)}"


def _caveats(board: Board) -> str:
    view = board.first.run.view
    notes = [_VIEWS[view]] if view in _VIEWS else []
    if all(row.compressed or row.is_baseline for row in board.rows):
        notes.append("There is no dense encoder to compare with yet.")
    if board.trains and max(row.seeds for row in board.rows) == 1:
        notes.append("There is only one seed: small differences are noise.")
    unlike = sum(row.comparable and row.mixed for row in board.rows)
    if unlike and board.trust.decides:
        several = "1 encoder was" if unlike == 1 else f"{unlike} encoders were"
        notes.append(f"{several} scored on another kind of machine than dense ({SIGN}): no verdict.")
    if len(board.origin.timed) > 1:
        notes.append("Times are from several machines: do not compare milliseconds, and compare speed-ups with care.")
    if board.first.run.is_language_model:
        notes.append(_LANGUAGE_MODEL)
        notes += _fine_tuning_remark([row for row in board.rows if row.fine_tuned and row.compressed])
    subset = "" if board.is_demo else _subset(board.first)
    if subset:
        notes.append(
            f"**This is a subset of the published data** ({subset}): scores say which encoder is better, and are not "
            "comparable with published ones."
        )
    elif any(file.limit is not None for _, file in board.first.run.data.items()):
        notes.append("The splits are cut to these sizes: do not compare the scores with published ones.")
    if board.scoring.split == "validation":
        notes.append("The scored split was also used to select the best epoch of each run and the recommended encoder.")
    return "".join(f" {note}" for note in notes)


def _subset(record: Record) -> str:
    """Name the splits of which a run read fewer examples than the published data set has."""
    published, read = record.task.published or {}, dict(record.examples)
    if "test" in read and "test" not in published:
        read["validation"] = read.get("validation", 0) + read.pop("test")
    fewer = [(split, read[split], whole) for split, whole in published.items() if read.get(split, whole) < whole]
    return ", ".join(f"{count:,} of {whole:,} {split} examples" for split, count, whole in fewer)


def _fine_tuning_remark(tuned: list[Row]) -> list[str]:
    """Describe what fine-tuned models are compared with, if there are any."""
    if any(row.comparable for row in tuned):
        return ["Fine-tuned models are compared with the dense model that was fine-tuned in the same way."]
    if tuned:
        return ["**Fine-tuned models were trained for longer than the dense model, and are not marked.**"]
    return []
