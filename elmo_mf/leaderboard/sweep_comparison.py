"""Compare two sweeps: differences of scores, times and settings, and verdicts on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from elmo_mf.errors import InputError
from elmo_mf.leaderboard._machines import machine_kind, machine_text
from elmo_mf.leaderboard._margin import MARGIN
from elmo_mf.leaderboard._row_verdicts import BoardScores, as_improvement
from elmo_mf.leaderboard._score_estimates import Scores
from elmo_mf.leaderboard._setting_names import short
from elmo_mf.leaderboard._statistics import estimates
from elmo_mf.leaderboard._verdicts import Verdict, verdicts
from elmo_mf.leaderboard.aggregate import Board, boards
from elmo_mf.leaderboard.read_records import outputs_of, records_of
from elmo_mf.records.identity import Scoring
from elmo_mf.records.labels import encoder_names, leaves
from elmo_mf.records.record import Record


@dataclass(frozen=True)
class ComparedEncoder:
    """An encoder in both sweeps.

    Attributes:
        encoder: Its name.
        first: Its mean score in the first sweep, over the seeds that both have.
        second: Its mean score in the second sweep.
        seeds: Number of seeds that both have.
        difference: Mean of the second score minus the first with the same seed.
        low: Lower end of the difference's 95 % interval; nan with one seed.
        high: Upper end of the difference's 95 % interval; nan with one seed.
        same: Whether all scores are the same.
        verdict: Verdict on the second in comparison with the first, see `elmo_mf.leaderboard._verdicts`.
        mixed: Whether any seed was scored on different kinds of machine.
        timed_apart: Whether times were measured on several machines.
        speed: How many times as fast the second sweep's encoder is.
        size: How many times as large it is.
    """

    encoder: str
    first: float
    second: float
    seeds: int
    difference: float
    low: float
    high: float
    same: bool
    verdict: Verdict
    mixed: bool
    timed_apart: bool
    speed: float
    size: float


@dataclass(frozen=True)
class Comparison:
    """A task in both sweeps.

    Attributes:
        task: Name of the task.
        title: Title of the task, for readers.
        scoring: How the task is scored.
        rows: The encoders that both sweeps have, in the order of the first.
        changed: Other differences, in the runs' identities and in machines and versions, as texts.
        only_first: Names of encoders that only the first sweep has.
        only_second: Names of encoders that only the second sweep has.
    """

    task: str
    title: str
    scoring: Scoring
    rows: list[ComparedEncoder]
    changed: list[str]
    only_first: list[str]
    only_second: list[str]


def compare(first: Path, second: Path, *, margin: float = MARGIN) -> list[Comparison]:
    """Compare the tasks that both output folders have records of.

    Args:
        first: An output folder.
        second: Another.
        margin: The largest loss treated as negligible: in points, or for perplexity in its own unit. Defaults to 1.

    Returns:
        A comparison for each task that both have.

    Raises:
        InputError: A folder has no records, or a task in several settings; or no task is in both.
    """
    one, other = _by_task(first), _by_task(second)
    both = [name for name in one if name in other]
    if not both:
        raise InputError(
            second, f"found records of {', '.join(other)}, expected any of {', '.join(one)}, as in {first}"
        )
    return [_compared(one[name], other[name], margin) for name in both]


def _by_task(folder: Path) -> dict[str, Board]:
    by_task: dict[str, Board] = {}
    for board in boards(records_of(folder), outputs_of(folder)):
        if board.task in by_task:
            raise InputError(folder, f"found {board.task} in several settings, expected one to compare")
        by_task[board.task] = board
    return by_task


def _compared(first: Board, second: Board, margin: float) -> Comparison:
    names = encoder_names(encoder for board in (first, second) for encoder in board.encoders.values())
    scores = [_scores(board) for board in (first, second)]
    pairs = pd.concat(scores, axis=1, keys=["first", "second"]).dropna().reset_index()
    pairs["encoder"] = pairs["key"].map(names)
    pairs["difference"] = pairs["second"] - pairs["first"]
    machines = [_machines(board) for board in (first, second)]
    runs = list(zip(pairs["key"], pairs["seed"], strict=True))
    pairs["mixed"] = [len({by_run[run][0] for by_run in machines}) > 1 for run in runs]
    pairs["times"] = [tuple(by_run[run][1] for by_run in machines) for run in runs]
    groups = pairs.groupby("encoder", sort=False)
    rows = groups[["first", "second", "difference"]].mean()
    rows["seeds"] = groups["seed"].nunique()
    _add_verdicts(rows, pairs, first, second, margin)
    rows["same"] = groups["difference"].apply(lambda differences: bool((differences == 0).all()))
    rows["mixed"] = groups["mixed"].any()
    rows["timed_apart"] = groups["times"].apply(lambda times: len({machine for both in times for machine in both}) > 1)
    one, other = (board.frame.set_index(board.frame["key"].map(names)) for board in (first, second))
    rows["speed"] = one["encoder_1_median"] / other["encoder_1_median"]
    rows["size"] = other["parameters"] / one["parameters"]
    order = [name for name in one.index if name in rows.index]
    values = rows.loc[order].rename_axis("encoder").reset_index().to_dict("records")
    return Comparison(
        first.task,
        first.first.task.title,
        first.scoring,
        [ComparedEncoder(**{str(name): value for name, value in row.items()}) for row in values],
        _changes(first.records, second.records),
        sorted(set(one.index) - set(other.index)),
        sorted(set(other.index) - set(one.index)),
    )


def _add_verdicts(rows: pd.DataFrame, pairs: pd.DataFrame, first: Board, second: Board, margin: float) -> None:
    """Add intervals and verdicts, example by example where both sweeps have outputs."""
    scores = Scores()
    for number, board in enumerate((first, second)):
        scores.means |= {(f"{number} {key}", seed): mean for (key, seed), mean in board.scores.means.items()}
        scores.outputs |= {(f"{number} {key}", seed): one for (key, seed), one in board.scores.outputs.items()}
    parts = [
        scores.components(
            [(f"1 {key}", seed) for key, seed in zip(group["key"], group["seed"], strict=True)],
            [(f"0 {key}", seed) for key, seed in zip(group["key"], group["seed"], strict=True)],
        )
        for _, group in pairs.groupby("encoder", sort=False)
    ]
    differences = estimates([one for one in parts if one is not None])
    rows["low"], rows["high"] = ([one.mean + sign * one.half_width() for one in differences] for sign in (-1, 1))
    board_scores = BoardScores(first.first, scores, scores, margin)
    improvements = [as_improvement(one, board_scores) for one in differences]
    rows["verdict"] = pd.Series(verdicts(improvements, board_scores.recorded_margin), index=rows.index, dtype=object)


def _scores(board: Board) -> pd.Series:
    """Return scores by the encoder's key and the seed."""
    series = pd.Series({run: board.scores.means[run] for run in board.scores.learned}, dtype=float)
    series.index = series.index.set_names(["key", "seed"])
    return series


def _machines(board: Board) -> dict[tuple[str, int], tuple[str, str]]:
    """Return the machines that scored and timed each run, by the encoder's key and the seed."""
    return {
        (key, seed): (machine_kind(record.machine), machine_text(record.timing.machine))
        for key, seed, record in zip(board.keys, board.seeds, board.records, strict=True)
    }


def _changes(first: Iterable[Record], second: Iterable[Record]) -> list[str]:
    """Describe the settings, versions and machines that differ between two sweeps."""
    one, other = (_facts(records) for records in (first, second))
    names = [name for name in one if one[name] != other.get(name)] + [name for name in other if name not in one]
    return [f"{name}: {one.get(name, 'nothing')} -> {other.get(name, 'nothing')}" for name in names]


def _facts(records: Iterable[Record]) -> dict[str, str]:
    values: dict[str, set[str]] = {}
    for record in records:
        facts: dict[str, object] = {**record.run.setting(), "versions": record.versions}
        facts["code"] = record.run.dense().versions
        facts["machine"] = record.machine.to_dict()
        if record.timed is not None:
            facts["timed on"] = record.timed.machine.to_dict()
        for name, value in leaves(facts):
            values.setdefault(name, set()).add(short(value))
    return {name: " or ".join(sorted(texts)) for name, texts in values.items()}


def verdict(row: ComparedEncoder) -> str:
    """Return a row's verdict, or `the same` if all scores are."""
    return "the same" if row.same else row.verdict.name
