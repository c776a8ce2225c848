"""A board for other programs: CSV, Parquet, LaTeX and JSON, each one file with all tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import ConfigDict, TypeAdapter, with_config
from tabulate import tabulate
from typing_extensions import TypedDict

from elmo_mf import escape
from elmo_mf.errors import InputError, any_of, visible
from elmo_mf.io import atomic_path
from elmo_mf.leaderboard.aggregate import BATCHES, Board
from elmo_mf.leaderboard.machines import SIGN
from elmo_mf.leaderboard.table import table
from elmo_mf.leaderboard.units import Unit

_closed = with_config(ConfigDict(allow_inf_nan=False, strict=True, use_attribute_docstrings=True))
_NUMBERS = ("score", "std", "difference", "low", "high", "ratio", "megabytes", "activation_error")
_MARKS = ("compressed", "best", "within_noise", "front", "at_chance", "mixed")
_COUNTS = ("seeds", "parameters", "multiply_adds")
_TIMES = tuple(
    f"{part}_{batch}_{name}"
    for part in ("encoder", "model")
    for batch in BATCHES
    for name in ("median", "p95", "speed_up", "allennlp")
)


@_closed
class Row(TypedDict):
    """One encoder, see `Board`; numbers that were not recorded are null. Scores are as AllenNLP gives them, times in
    milliseconds."""

    encoder: str
    """Its name on the board."""
    compression: dict[str, Any] | None
    """The keys of `Compression`; null for the dense encoder."""
    marks: dict[str, bool]
    """Whether it is compressed, the best, within noise of dense, on the Pareto front, at chance, of mixed machines."""
    counts: dict[str, int]
    """Seeds; the LSTMs' parameters; multiply-adds of the whole encoder for a token."""
    numbers: dict[str, float | None]
    """Score and its deviation, difference to dense and its interval, ratio of the LSTMs, megabytes of the encoder."""
    times: dict[str, float | None]
    """By part, batch and kind: medians and 95th percentiles, speed-ups over dense and over AllenNLP."""


@_closed
class Task(TypedDict):
    """One table."""

    task: str
    """Its name."""
    title: str
    """Its title on the board."""
    metric: str
    """The primary one, which is the score."""
    better: Literal["higher", "lower"]
    """Scores."""
    split: str
    """That is scored."""
    chance: float
    """The score of a model that knows nothing."""
    setting: str
    """Which of the task's tables this is, from 1 on: each has its own data, ELMo and config."""
    rows: list[Row]
    """Best score first."""


@_closed
class Export(TypedDict):
    """The whole file."""

    format: Literal[1]
    """Of this file."""
    boards: list[Task]
    """By task."""


SCHEMA = TypeAdapter(Export)


def check_kinds(kinds: Sequence[str]) -> None:
    """Find out before the work that there is no such export.

    Raises:
        InputError: an unknown kind.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"--export: found {kind!r}, {any_of(kind, KINDS)}")


def write_exports(boards: Sequence[Board], folder: Path, kinds: Sequence[str]) -> list[Path]:
    """Write `board.<kind>` for each kind into a folder.

    Raises:
        InputError: an unknown kind, or what it needs is not installed.
    """
    check_kinds(kinds)
    written = []
    for kind in kinds:
        path = folder / f"board.{kind}"
        with atomic_path(path) as temporary:
            KINDS[kind](boards, temporary)
        written.append(path)
    return written


def tidy(boards: Sequence[Board]) -> pd.DataFrame:
    """A row an encoder of each board, with columns of `Board.rows`; and `task`, `metric`, and `setting`, the number of
    the task's table."""
    frames = []
    for board in boards:
        frame = board.rows[["encoder", *_MARKS, *_COUNTS, *_NUMBERS, *_TIMES]].copy()
        frame[list(_COUNTS)] = frame[list(_COUNTS)].astype(int)
        for position, (name, value) in enumerate(
            (("task", board.task.name), ("metric", board.task.primary), ("setting", str(board.setting)))
        ):
            frame.insert(position, name, value)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _csv(boards: Sequence[Board], path: Path) -> None:
    frame = tidy(boards)
    for name in ("task", "metric", "setting", "encoder"):
        frame[name] = frame[name].map(escape.csv)
    frame.to_csv(path, index=False)


def _parquet(boards: Sequence[Board], path: Path) -> None:
    try:
        tidy(boards).to_parquet(path, engine="pyarrow", index=False)
    except ImportError:
        raise InputError("--export: found parquet without pyarrow, expected pip install 'elmo-mf[parquet]'") from None


def _latex(boards: Sequence[Board], path: Path) -> None:
    """Tables for the package booktabs."""
    parts = []
    for board in boards:
        frame = table(board, visible).map(lambda text: str(text).translate(_WORDS).strip())
        frame.columns = pd.Index([str(name).translate(_WORDS) for name in frame.columns])
        rows = tabulate(
            frame, headers="keys", tablefmt="latex_booktabs", showindex=False, disable_numparse=True,
            colalign=["left"] + ["right"] * (frame.shape[1] - 1),
        )  # fmt: skip
        for mark, command in _MARKS_IN_LATEX.items():
            rows = rows.replace(mark, command)
        parts.append(f"% {visible(board.title)}, {Unit.of(board.task).title}\n{rows}\n")
    path.write_text("\n".join(parts), encoding="utf-8")


# letters that stand for themselves until tabulate has escaped the rest
_WORDS = str.maketrans({"★": "\ue000", "◆": "\ue001", "≈": "\ue002", "†": "\ue003", "±": "\ue004", SIGN: "\ue005"})
_MARKS_IN_LATEX = {
    "\ue000": r"$\star$",
    "\ue001": r"$\diamond$",
    "\ue002": r"$\approx$",
    "\ue003": r"\dag{}",
    "\ue004": r"$\pm$",
    "\ue005": r"\ddag{}",
}


def _json(boards: Sequence[Board], path: Path) -> None:
    path.write_text(json.dumps(as_json(boards), indent=1) + "\n", encoding="utf-8")


def as_json(boards: Sequence[Board]) -> Export:
    """The JSON export's value, checked against its schema."""
    tasks = [
        {
            "task": board.task.name,
            "title": board.title,
            "metric": board.task.primary,
            "better": board.task.metrics[board.task.primary],
            "split": board.task.scored,
            "chance": float(board.chance),
            "setting": str(board.setting),
            "rows": [_row(row) for row in board.rows.to_dict("records")],
        }
        for board in boards
    ]
    return SCHEMA.validate_python({"format": 1, "boards": tasks})


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    def number(name: str) -> float | None:
        return None if pd.isna(row[name]) else float(row[name])

    return {
        "encoder": row["encoder"],
        "compression": row["compression"] if row["compressed"] else None,
        "marks": {name: bool(row[name]) for name in _MARKS},
        "counts": {name: int(row[name]) for name in _COUNTS},
        "numbers": {name: number(name) for name in _NUMBERS},
        "times": {name: number(name) for name in _TIMES},
    }


KINDS: dict[str, Callable[[Sequence[Board], Path], None]] = {
    "csv": _csv,
    "parquet": _parquet,
    "tex": _latex,
    "json": _json,
}
