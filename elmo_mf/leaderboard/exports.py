"""Boards for other programs, as CSV, Parquet, LaTeX or JSON: one file with all tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Literal

import pandas as pd

from elmo_mf import escape
from elmo_mf.errors import InputError, not_installed, visible
from elmo_mf.io import atomic_path
from elmo_mf.leaderboard._export_kinds import check_kinds
from elmo_mf.leaderboard._machines import SIGN
from elmo_mf.leaderboard._table import table
from elmo_mf.leaderboard._units import Unit
from elmo_mf.leaderboard._use import use_of
from elmo_mf.leaderboard.aggregate import SPEED_COLUMNS, Board, Row, Speed
from elmo_mf.records import Compression
from elmo_mf.records.base_model import Data


class Marks(Data):
    """Marks of an encoder."""

    compressed: bool
    """Whether it is compressed, by a method or by its precision."""
    is_baseline: bool
    """Whether it takes an encoder's place for comparison, such as one of shuffled weights."""
    recommended: bool
    """Whether it is the fastest of those that are not inferior on validation data and by their verdict."""
    not_inferior: bool
    """Whether it is not worse than dense by the margin on validation data."""
    pareto_front: bool
    """Whether it is on the Pareto front of score and multiply-adds."""
    at_chance: bool
    """Whether its score is that of a model that knows nothing."""
    mixed: bool
    """Whether it was scored on another kind of machine than its baseline, or on several."""


class Counts(Data):
    """Integers of an encoder."""

    seeds: int
    """Number of seeds, without those of collapsed runs."""
    collapsed: int
    """Number of runs that collapsed, first attempts included."""
    examples: int
    """Number of test examples, or of documents, that the interval is over; 0 where it is over seeds alone."""
    parameters: int
    """Parameters of the LSTMs."""
    multiply_adds: int
    """Multiply-adds of the whole encoder per token."""


class Numbers(Data):
    """Numbers of an encoder; null if unknown."""

    score: float | None
    """Mean score over seeds."""
    score_low: float | None
    """Lower end of its 95 % interval."""
    score_high: float | None
    """Upper end of its 95 % interval."""
    std: float | None
    """Standard deviation of the score over seeds."""
    difference: float | None
    """Mean difference of the score to the dense encoder with the same seed."""
    low: float | None
    """Lower end of the difference's 95 % interval."""
    high: float | None
    """Upper end of the difference's 95 % interval."""
    nats: float | None
    """Mean difference in cross-entropy to the dense encoder, in nats per example; positive if it is higher."""
    nats_low: float | None
    """Lower end of its 95 % interval."""
    nats_high: float | None
    """Upper end of its 95 % interval."""
    validation_gain: float | None
    """Improvement over dense on validation data."""
    ratio: float | None
    """Parameters of the dense LSTMs divided by those of these."""
    megabytes: float | None
    """Megabytes of the whole encoder, stored in its precision."""
    activation_error: float | None
    """Relative error of the LSTM layers' outputs."""


_MARKS, _COUNTS, _NUMBERS = (tuple(part.model_fields) for part in (Marks, Counts, Numbers))


class ExportedRow(Data):
    """One encoder; numbers that were not recorded are null. Scores are AllenNLP's, times are in milliseconds."""

    encoder: str
    """Name on the board."""
    compression: Compression | None
    """Its compression, with the SHA-256 of files in place of paths; null for the dense encoder."""
    use: str
    """The command, config or Python code that creates the encoder; empty for a baseline or the dense encoder."""
    marks: Marks
    """Its marks."""
    verdict: Literal["better", "equivalent", "worse", "undecided"] | None
    """Whether it is better than dense, equivalent within the margin, worse, or undecided; null where none is given."""
    needs: str
    """The sample that would decide an undecided verdict; else empty."""
    counts: Counts
    """Its integers."""
    numbers: Numbers
    """Its other numbers."""
    times: dict[str, float | None]
    """By part, batch and kind: medians and 95th percentiles, speed-ups over dense here and over the original."""


class ExportedBoard(Data):
    """One table."""

    task: str
    """Name of the task."""
    title: str
    """Title on the board."""
    metric: str
    """The primary metric, which is the score."""
    better: Literal["higher", "lower"]
    """Whether higher or lower scores are better."""
    split: str
    """The split that is scored."""
    margin: float
    """Largest loss treated as negligible, in points or in the unit of the metric."""
    remark: str
    """Remark on the baselines, which decide whether the table gives verdicts."""
    chance: float
    """The score of a model that knows nothing."""
    setting: str
    """Number of the table among those of the task, counted from 1: each has its own data, ELMo and config."""
    rows: list[ExportedRow]
    """Encoders, best score first."""


class Export(Data):
    """The whole file."""

    format: Literal[4]
    """Version of the file's format."""
    boards: list[ExportedBoard]
    """Boards by task."""


def write_exports(boards: Sequence[Board], folder: Path, kinds: Sequence[str]) -> list[Path]:
    """Write `board.<kind>` for each kind into a folder, atomically.

    Args:
        boards: The boards.
        folder: The folder.
        kinds: Any of `csv`, `parquet`, `tex` and `json`.

    Returns:
        The paths of the files.

    Raises:
        InputError: A kind is unknown, or a package that it needs is not installed.
    """
    check_kinds(kinds)
    written = []
    for kind in kinds:
        path = folder / f"board.{kind}"
        with atomic_path(path) as temporary:
            _WRITERS[kind](boards, temporary)
        written.append(path)
    return written


def tidy(boards: Sequence[Board]) -> pd.DataFrame:
    """Return a row per encoder of each board: columns of `Board.frame`, and `task`, `metric`, `setting` and `use`."""
    frames = []
    for board in boards:
        frame = board.frame[["encoder", "verdict", "needs", *_MARKS, *_COUNTS, *_NUMBERS, *SPEED_COLUMNS]].copy()
        frame[list(_COUNTS)] = frame[list(_COUNTS)].astype(int)
        frame.insert(1, "use", [use_of(row, board) for row in board.rows])
        for position, (name, value) in enumerate(
            (("task", board.task), ("metric", board.scoring.primary), ("setting", str(board.setting)))
        ):
            frame.insert(position, name, value)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _csv(boards: Sequence[Board], path: Path) -> None:
    frame = tidy(boards)
    for name in ("task", "metric", "setting", "encoder", "use", "needs"):
        frame[name] = frame[name].map(escape.csv)
    frame.to_csv(path, index=False)


def _parquet(boards: Sequence[Board], path: Path) -> None:
    try:
        tidy(boards).to_parquet(path, engine="pyarrow", index=False)
    except ImportError:
        raise InputError("export", not_installed("pyarrow")) from None


def _latex(boards: Sequence[Board], path: Path) -> None:
    """Write LaTeX tables for the package booktabs."""
    parts = []
    for board in boards:
        frame = table(board, visible, every_column=True)
        style = frame.style.format(escape="latex").format_index(escape="latex", axis="columns").hide(axis="index")
        rows = style.to_latex(hrules=True, column_format="l" + "r" * (frame.shape[1] - 1)).translate(_LATEX)
        parts.append(f"% {visible(board.title)}, {Unit.of(board.scoring).title}\n{rows}")
    path.write_text("\n".join(parts), encoding="utf-8")


# what pandas does not escape: marks, and characters that LaTeX's default encoding prints as others
_LATEX = str.maketrans(
    {
        "★": r"$\star$",
        "◆": r"$\diamond$",
        "—": "---",
        "†": r"\dag{}",
        "±": r"$\pm$",
        SIGN: r"\ddag{}",
        "<": "$<$",
        ">": "$>$",
        "|": "$|$",
    }
)


def _json(boards: Sequence[Board], path: Path) -> None:
    path.write_text(export(boards).model_dump_json(indent=1) + "\n", encoding="utf-8")


def export(boards: Sequence[Board]) -> Export:
    """Return the content of the JSON export."""
    return Export(format=4, boards=[_exported_board(board) for board in boards])


def _exported_board(board: Board) -> ExportedBoard:
    scoring = board.scoring
    return ExportedBoard(
        task=board.task,
        title=board.title,
        metric=scoring.primary,
        better=scoring.metrics[scoring.primary],
        split=scoring.split,
        margin=board.margin,
        remark=board.trust.remark,
        chance=float(board.chance),
        setting=str(board.setting),
        rows=[_exported_row(row, board) for row in board.rows],
    )


def _exported_row(row: Row, board: Board) -> ExportedRow:
    times = {
        f"{part}_{batch}_{field.name}": _number(getattr(speed, field.name))
        for (part, batch), speed in row.speeds.items()
        for field in fields(Speed)
    }
    return ExportedRow(
        encoder=row.encoder,
        compression=row.compression,
        use=use_of(row, board),
        verdict=row.verdict or None,
        needs=row.needs,
        marks=Marks(**{name: bool(getattr(row, name)) for name in _MARKS}),
        counts=Counts(**{name: int(getattr(row, name)) for name in _COUNTS}),
        numbers=Numbers(**{name: _number(getattr(row, name)) for name in _NUMBERS}),
        times=times,
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


_WRITERS: dict[str, Callable[[Sequence[Board], Path], None]] = {
    "csv": _csv,
    "parquet": _parquet,
    "tex": _latex,
    "json": _json,
}
