"""Write the leaderboard as `README.md` in a folder of records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from elmo_mf.escape import code, markdown
from elmo_mf.figures import darkened, picture
from elmo_mf.io import write_text
from elmo_mf.leaderboard.aggregate import Board, Row
from elmo_mf.leaderboard.charts import figure, methods_of
from elmo_mf.leaderboard.machines import SIGN
from elmo_mf.leaderboard.origin import Origin
from elmo_mf.leaderboard.table import interval, table
from elmo_mf.leaderboard.units import Unit
from elmo_mf.leaderboard.vega import draw
from elmo_mf.records.record import BATCHES, Batch


def write_leaderboard(boards: Sequence[Board], folder: Path) -> Path:
    """Write `README.md` and its figures into a folder; the same boards give the same bytes."""
    write_figures(boards, folder)
    parts = [header(boards), _PAGE, summary(boards), *map(_section, boards), NOTES]
    path = folder / "README.md"
    write_text(path, "\n\n".join(parts) + "\n")
    return path


def write_figures(boards: Sequence[Board], folder: Path) -> None:
    """Write a figure of each board as `board-NAME-light.svg`, and in the dark theme as `board-NAME-dark.svg`."""
    methods = methods_of(boards)
    for board, image in zip(boards, draw([figure(board, methods) for board in boards]), strict=True):
        write_text(folder / f"board-{board.name}-light.svg", image)
        write_text(folder / f"board-{board.name}-dark.svg", darkened(image))


_PAGE = "Open `index.html` beside this file in a browser to sort and filter the tables and to look into the records."

NOTES = """## How to read it

- **vs dense** is the mean difference to the dense encoder with the same seed, with its 95 % interval; ± is the standard
  deviation over seeds. The interval uses a moderated t (Smyth 2004): a few seeds say little about the noise of one
  encoder, so its variance is shrunk towards that of all encoders in the table. **≈** marks encoders within noise of
  dense: with three seeds or more, not significantly worse.
- **activation error** is |compressed - dense| / |dense| of the LSTM layers' outputs on sentences of the scored split.
- **parameters** and **smaller** count the LSTMs only. **encoder MB** and **multiply-adds** (per token) also count the
  character CNN, or a language model's embedding and softmax. These are not compressed, except for the character CNN's
  highway layers where a name contains **highways** with their rank, or **with highways** in a budget. Pruned matrices
  have fewer parameters but take as long as dense ones.
- A **budget** is allocated by the effect of each matrix's error on the LSTM layers' outputs, or **by matrices**, by the
  errors of the matrices themselves.
- **encoder** times cover the whole encoder, from characters; **model** times cover the task's model with the encoder in
  it. Both are measured on sentences of the scored split (for a language model, see its table): the median and the 95th
  percentile, in milliseconds per batch of 1 or 32. **speed-up** is relative to this project's dense encoder, timed in
  turns in the same process; on a shared machine it is more reliable than milliseconds.
- **over AllenNLP** is the speed-up relative to AllenNLP's own dense encoder, where that was timed too.
- **★** marks the best compressed encoder; **◆** the Pareto front, where no encoder is as good with fewer multiply-adds;
  **†** a score within two standard errors of chance.
- **‡** marks an encoder that was scored on another kind of machine (processor, instruction set or GPU) than the dense
  encoder with the same seed, or on several kinds. The machine alone changes a score about as much as another seed does
  (by 0.6 points, root mean square, where it was measured), and the interval does not include that. Where three seeds or
  more have a dense encoder on the same kind of machine, the difference is over these alone."""


_LANGUAGE_MODEL = (
    "Lower is better. The encoder is the model's own core, a stack of LSTMs, and dense times are those of "
    "`torch.nn.LSTM`: batch 1 is a step of generation, one word; batch 32 is scoring, 32 texts of 70 words."
)


def header(boards: Sequence[Board]) -> str:
    """Return what was run, on what, and where, in Markdown."""
    origin = Origin.of_all(board.origin for board in boards)
    lines = [f"- {name}: {text}" for name, text in origin.lines().items()]
    took = f"{origin.count} runs, {origin.seconds / 3600:.1f} hours"
    return "\n".join(
        [
            "# Leaderboard",
            "",
            "Compressed encoders against the dense one, from the records beside this file.",
            "",
            *lines,
            f"- {took}; rebuilt by `elmo-mf leaderboard .` in this folder",
        ]
    )


def summary(boards: Sequence[Board]) -> str:
    """Return one sentence per task: the cheapest encoder within noise of dense."""
    return "\n".join(["## In short", "", *(f"- **{markdown(board.title)}**: {_in_short(board)}" for board in boards)])


def _in_short(board: Board) -> str:
    unit = Unit.of(board.scoring)
    compared = [row for row in board.rows if row.comparable and not math.isnan(row.difference)]
    if not compared:
        return "nothing to compare yet."
    text, row = _recommended(compared)
    within = "" if math.isnan(row.low) else f" {interval(row, unit)}"
    mixed = f"; scored on another kind of machine than dense {SIGN}" if row.mixed else ""
    faster = f"{_at_batches({batch: row.speeds['encoder', batch].speed_up for batch in BATCHES})} times as fast"
    if allennlp := _at_batches({batch: row.speeds["encoder", batch].allennlp for batch in BATCHES}):
        faster += f" ({allennlp} against AllenNLP's)"
    return (
        f"{text} {code(row.encoder)}, {unit.signed(row.difference)}{within} {markdown(unit.name)} "
        f"from {markdown(row.baseline)}, "
        f"{row.ratio:.1f} times smaller, and {faster}{mixed}."
    )


def _recommended(compared: list[Row]) -> tuple[str, Row]:
    """Choose an encoder among those that are compared, with the reason as text."""
    near = [row for row in compared if row.within_noise]
    decided = [row for row in compared if row.within_noise or row.worse]
    if not decided:
        return "too few seeds to estimate the noise; the best compressed encoder is", compared[0]
    if not near:
        return "no compressed encoder is within noise of dense; the best is", decided[0]
    cheapest = min(near, key=lambda row: (row.multiply_adds, row.encoder))
    return "the cheapest encoder within noise of dense is", cheapest


def _at_batches(values: Mapping[Batch, float]) -> str:
    """Format the values that are known, with their batch sizes."""
    known = {batch: value for batch, value in values.items() if not math.isnan(value)}
    return " and ".join(f"{value:.2f} at batch {batch}" for batch, value in known.items())


def _section(board: Board) -> str:
    alternative = f"{Unit.of(board.scoring).title} against speed, size and rank: {board.title}"
    frame = table(board, markdown, "**{}**")
    frame.columns = pd.Index([markdown(str(name)) for name in frame.columns])
    alignment = ["left"] + ["right"] * (frame.shape[1] - 1)
    rows = frame.to_markdown(index=False, colalign=alignment, disable_numparse=True)
    image = picture(f"board-{board.name}", alternative)
    return f"## {markdown(board.title)}\n\n{about(board)}\n\n{image}\n\n{rows}"


def about(board: Board) -> str:
    """Return the remarks that precede a board's table, in Markdown."""
    scoring, record, unit = board.scoring, board.first, Unit.of(board.scoring)
    sizes = ", ".join(f"{count:,} {split}" for split, count in record.examples.items())
    real = f"{markdown(record.task.source)}; {markdown(record.task.licence)}"
    source = "demo data written for this project" if record.data == "demo" else real
    percent = " %" if unit.factor == 100 else ""
    metric = f"{markdown(scoring.primary)} on the {scoring.split} split; chance is {unit.text(board.chance)}{percent}."
    return f"{metric} {sizes} examples. Data: {source}. Timed on {board.origin.timed_on()}.{_remarks(board)}"


def _remarks(board: Board) -> str:
    dense = [row for row in board.rows if not row.compressed]
    notes = []
    if not dense:
        notes.append("There is no dense encoder to compare with yet.")
    elif any(row.at_chance for row in dense):
        notes.append("**The dense encoder itself is at chance: this table shows nothing.**")
    if max(row.seeds for row in board.rows) == 1:
        notes.append("There is one seed only: small differences are noise.")
    if len(board.origin.timed) > 1:
        notes.append("Times are from several machines: do not compare milliseconds, and compare speed-ups with care.")
    if board.first.run.is_language_model:
        notes.append(_LANGUAGE_MODEL)
        notes += _fine_tuning_remark([row for row in board.rows if row.fine_tuned and row.compressed])
    if any(file.limit is not None for _, file in board.first.run.data.items()):
        notes.append("The splits are cut to these sizes: do not compare the scores with published ones.")
    if board.scoring.split == "validation":
        notes.append("The scored split also selected the best epoch of each run.")
    return "".join(f" {note}" for note in notes)


def _fine_tuning_remark(tuned: list[Row]) -> list[str]:
    """Describe what fine-tuned models are compared with, if there are any."""
    if any(row.comparable for row in tuned):
        return ["Fine-tuned models are compared with the dense model that was fine-tuned in the same way."]
    if tuned:
        return ["**Fine-tuned models were trained for longer than the dense model, and get no mark.**"]
    return []
