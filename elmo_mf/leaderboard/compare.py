"""Two sweeps side by side: what changed between them, and whether it is noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from elmo_mf.errors import InputError
from elmo_mf.leaderboard.aggregate import Board, boards
from elmo_mf.leaderboard.machines import kind, timed_on
from elmo_mf.leaderboard.records import records_of
from elmo_mf.leaderboard.settings import leaves, shared, short
from elmo_mf.leaderboard.statistics import ENOUGH, half_width
from elmo_mf.records.encoders import encoder_key, encoder_names
from elmo_mf.tasks.config import Task


@dataclass(frozen=True)
class Comparison:
    """A task in both sweeps.

    Attributes:
        rows: a row an encoder that both have: `encoder`, the scores `first` and `second`, `seeds` that both have, the
            mean `difference` of the second less the first with the same seed and its 95 % interval `low` to `high` (nan
            with one seed), `changed` (all of the interval on one side of zero), `within_noise` (not so, by three seeds
            or more), `same` where every score is, `mixed` where any seed was scored on different kinds of machine, and
            how many times as fast and as large the second's encoder is, `speed` and `size`; `timed_apart` where times
            are of several machines.
        changed: what else is different, in the runs' identities and in the machines and versions, as texts.
        only_first: encoders that only one has.
        only_second: encoders that only one has.
    """

    task: Task
    rows: pd.DataFrame
    changed: list[str]
    only_first: list[str]
    only_second: list[str]


def compare(first: Path, second: Path) -> list[Comparison]:
    """The tasks that both output folders have records of.

    Raises:
        InputError: a folder has no records, or a task in several settings; or no task is in both.
    """
    one, other = _by_task(first), _by_task(second)
    both = [name for name in one if name in other]
    if not both:
        raise InputError(
            f"{second}: found records of {', '.join(other)}, expected any of {', '.join(one)}, as in {first}"
        )
    return [_compared(one[name], other[name]) for name in both]


def _by_task(folder: Path) -> dict[str, Board]:
    found: dict[str, Board] = {}
    for board in boards(records_of(folder)):
        if board.task.name in found:
            raise InputError(f"{folder}: found {board.task.name} in several settings, expected one to compare")
        found[board.task.name] = board
    return found


def _compared(first: Board, second: Board) -> Comparison:
    names = encoder_names(record["run"] for board in (first, second) for record in board.records)
    scores = [_scores(board) for board in (first, second)]
    pairs = pd.concat(scores, axis=1, keys=["first", "second"]).dropna().reset_index()
    pairs["encoder"] = pairs["key"].map(names)
    pairs["difference"] = pairs["second"] - pairs["first"]
    machines = [_machines(board) for board in (first, second)]
    runs = list(zip(pairs["key"], pairs["seed"], strict=True))
    pairs["mixed"] = [len({own[run][0] for own in machines}) > 1 for run in runs]
    pairs["times"] = [tuple(own[run][1] for own in machines) for run in runs]
    groups = pairs.groupby("encoder", sort=False)
    rows = groups[["first", "second", "difference"]].mean()
    rows["seeds"] = groups["seed"].nunique()
    half = half_width(pairs)
    rows["low"], rows["high"] = rows["difference"] - half, rows["difference"] + half
    rows["same"] = groups["difference"].apply(lambda differences: bool((differences == 0).all()))
    rows["mixed"] = groups["mixed"].any()
    rows["timed_apart"] = groups["times"].apply(lambda times: len({machine for both in times for machine in both}) > 1)
    rows["changed"] = (rows["low"] > 0) | (rows["high"] < 0)
    rows["within_noise"] = ~rows["changed"] & (rows["seeds"] >= ENOUGH)
    one, other = (board.rows.set_index(board.rows["key"].map(names)) for board in (first, second))
    rows["speed"] = one["encoder_1_median"] / other["encoder_1_median"]
    rows["size"] = other["parameters"] / one["parameters"]
    order = [name for name in one.index if name in rows.index]
    return Comparison(
        first.task,
        rows.loc[order].rename_axis("encoder").reset_index(),
        _changes(first.records, second.records),
        sorted(set(one.index) - set(other.index)),
        sorted(set(other.index) - set(one.index)),
    )


def _scores(board: Board) -> pd.Series:
    """By the encoder's key and the seed."""
    values = {
        (encoder_key(record["run"]), record["run"]["seed"]): record["scores"][board.task.primary]
        for record in board.records
    }
    series = pd.Series(values, dtype=float)
    series.index = series.index.set_names(["key", "seed"])
    return series


def _machines(board: Board) -> dict[tuple[str, int], tuple[str, str]]:
    """By the encoder's key and the seed, where scores and where times are from."""
    return {
        (encoder_key(record["run"]), record["run"]["seed"]): (kind(record["machine"]), timed_on(record))
        for record in board.records
    }


def _changes(first: Iterable[dict[str, Any]], second: Iterable[dict[str, Any]]) -> list[str]:
    """Of everything that is the same throughout one sweep and something else in the other."""
    one, other = (_facts(records) for records in (first, second))
    names = [name for name in one if one[name] != other.get(name)] + [name for name in other if name not in one]
    return [f"{name}: {one.get(name, 'nothing')} -> {other.get(name, 'nothing')}" for name in names]


def _facts(records: Iterable[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for record in records:
        facts = {**shared(record), "versions": record["versions"], "machine": record["machine"]}
        if "timed" in record:
            facts["timed on"] = record["timed"]["machine"]
        for name, value in leaves(facts):
            found.setdefault(name, set()).add(short(value))
    return {name: " or ".join(sorted(values)) for name, values in found.items()}


def verdict(row: Mapping[str, Any]) -> str:
    """What is to be said of a row's difference."""
    if row["same"]:
        return "the same"
    if row["changed"]:
        return "changed"
    return "noise" if row["within_noise"] else "too few seeds"
