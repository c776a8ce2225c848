"""Records to one row an encoder: means over seeds, differences to dense."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from elmo_mf.leaderboard.machines import kind
from elmo_mf.leaderboard.origin import Origin
from elmo_mf.leaderboard.settings import own, shared, told_apart
from elmo_mf.leaderboard.statistics import ENOUGH, half_width
from elmo_mf.records.encoders import encoder_key, encoder_names, tuning_key
from elmo_mf.records.packed import some_of
from elmo_mf.records.record import known_tasks
from elmo_mf.tasks.config import Task

BATCHES = ("1", "32")

_TIMES = {"median": "median_ms", "p95": "p95_ms", "speed_up": "speed_up", "allennlp": "allennlp_speed_up"}


@dataclass(frozen=True)
class Board:
    """One table: a task in one setting (same data, ELMo and model config).

    `rows` has one row an encoder, best score first: its `key` and its name `encoder` (see `encoder_names`), which no
    other has, `compressed`, `compression` (its keys), `trained_again` (after factorization; or dense, to compare with
    such a one), `fine_tuned` (the same, of a language model), `seeds`, `score`, `goodness` (the same, higher is
    better), `std`; `difference` to dense with the same seed, tuned likewise, if there is such a one, its `baseline`,
    with its 95 % interval `low` to `high`; the marks `at_chance`, `comparable` (compressed, with such a dense one),
    `worse` (than dense, all of the interval), `within_noise` (not worse, by three seeds or more), `best` (of the
    comparable), `mixed` (scored on another kind of machine than that dense one, or its seeds on several; where three
    seeds or more have a dense one of their kind, these alone make the difference) and `front` (see `front`, by
    multiply-adds); `parameters` and `ratio` of the LSTMs, and with what is around them `megabytes`, and `multiply_adds`
    for a token; `activation_error`; and for the parts `encoder` and `model` and the batches 1 and 32
    `<part>_<batch>_median`, `_p95`, `_speed_up` and `_allennlp`, the speed-up over AllenNLP. What was not recorded is
    nan. `records` are the records behind it, `first` the first of them, `keys` and `seeds` those of their encoders and
    runs, and `origin` what they were made with. Where a task has several boards, `setting` is the board's number among
    them and `told` says what tells it apart.
    """

    task: Task
    rows: pd.DataFrame
    chance: float
    records: Sequence[dict[str, Any]]
    first: dict[str, Any]
    keys: list[str]
    seeds: list[int]
    origin: Origin
    setting: int = 1
    told: str = ""

    @property
    def name(self) -> str:
        """For files and links."""
        return self.task.name if self.setting == 1 else f"{self.task.name}-{self.setting}"

    @property
    def title(self) -> str:
        """For readers."""
        return f"{self.task.title}; {self.told}" if self.told else self.task.title


def boards(records: Sequence[dict[str, Any]]) -> list[Board]:
    """All boards of some records, by task; each record is looked at once."""
    load, settings = known_tasks(), dict[str, dict[str, _Setting]]()
    for index, record in enumerate(records):
        # what must be the same for scores to be compared
        setting = json.dumps(shared(record), sort_keys=True)
        of_task = settings.setdefault(record["run"]["task"], {})
        if setting not in of_task:
            of_task[setting] = _Setting(load(record["run"]["task"]), record)
        of_task[setting].add(index, record)
    return [
        board for _, own in sorted(settings.items()) for board in _of_task([own[key] for key in sorted(own)], records)
    ]


class _Setting:
    """What a board is made of."""

    def __init__(self, task: Task, first: dict[str, Any]) -> None:
        self.task, self.first = task, first
        self.places: list[int] = []
        self.rows: list[dict[str, Any]] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.origin = Origin()

    def add(self, index: int, record: dict[str, Any]) -> None:
        row = _flat(record, self.task)
        self.places.append(index)
        self.rows.append(row)
        self.runs[row["key"]] = own(record)
        self.origin.add(record)


def _of_task(settings: list[_Setting], records: Sequence[dict[str, Any]]) -> list[Board]:
    told = told_apart([setting.first for setting in settings])
    return [
        replace(_board(setting, some_of(records, setting.places)), setting=number, told=text)
        for number, (setting, text) in enumerate(zip(settings, told, strict=True), start=1)
    ]


def _board(setting: _Setting, records: Sequence[dict[str, Any]]) -> Board:
    task, first = setting.task, setting.first
    frame = pd.DataFrame(setting.rows)
    keys, seeds = list(frame["key"]), [int(seed) for seed in frame["seed"]]
    frame["encoder"] = frame["key"].map(encoder_names(setting.runs.values()))
    frame = frame.sort_values(["encoder", "seed"])
    dense = frame[~frame["compressed"]]
    frame["against"] = frame["tuned"].where(frame["tuned"].isin(dense["tuned"]), "")
    known = dense.set_index(["tuned", "seed"])[["score", "machine"]].T.to_dict("list")
    others = [known.get(pair, [float("nan"), ""]) for pair in zip(frame["against"], frame["seed"], strict=True)]
    frame["difference"] = frame["score"] - [score for score, _ in others]
    alike = frame["machine"] == [machine for _, machine in others]
    # like with like, where there is enough of it
    enough = (alike & frame["difference"].notna()).groupby(frame["encoder"]).transform("sum") >= ENOUGH
    frame.loc[~alike & enough, "difference"] = float("nan")
    frame["mixed"] = frame["difference"].notna() & ~alike
    groups = frame.groupby("encoder", sort=True)
    rows = groups.agg("median", numeric_only=True).drop(
        columns=["seed", "score", "difference", "compressed", "trained_again", "mixed"]
    )
    rows["score"], rows["std"] = groups["score"].mean(), groups["score"].std(ddof=1)
    rows["difference"], rows["seeds"] = groups["difference"].mean(), groups["seed"].nunique()
    rows["compressed"], rows["compression"] = groups["compressed"].first(), groups["compression"].first()
    rows["trained_again"], rows["key"] = groups["trained_again"].first(), groups["key"].first()
    tuned, against = groups["tuned"].first(), groups["against"].first()
    rows["fine_tuned"] = tuned != ""
    rows["mixed"] = groups["mixed"].any() | (groups["machine"].nunique() > 1)
    half = half_width(frame[frame["compressed"]])
    rows["low"], rows["high"] = rows["difference"] - half, rows["difference"] + half
    chance, n = first["chance"], first["examples"][task.scored]
    higher = task.metrics[task.primary] == "higher"
    least = chance + 2 * np.sqrt(chance * (1 - chance) / n) if higher else chance
    rows["at_chance"] = (rows["score"] <= least) if higher else (rows["score"] >= least)
    # what is tuned again has had more training than dense as it is, which says nothing of compression
    names = dict(zip(dense["tuned"], dense["encoder"], strict=True))
    rows["baseline"] = [names.get(tuning, "dense") for tuning in against]
    rows["comparable"] = rows["compressed"] & (against == tuned)
    rows["worse"] = rows["comparable"] & ((rows["high"] < 0) if higher else (rows["low"] > 0))
    rows["within_noise"] = rows["comparable"] & ~rows["worse"] & (groups["difference"].count() >= ENOUGH)
    rows["goodness"] = rows["score"] if higher else -rows["score"]
    rows["front"] = front(rows["goodness"], rows["multiply_adds"])
    rows = rows.reset_index().sort_values(["score", "parameters", "encoder"], ascending=[not higher, True, True])
    comparable = rows.index[rows["comparable"]]
    rows["best"] = rows.index == (comparable[0] if len(comparable) else -1)
    return Board(task, rows.reset_index(drop=True), chance, records, first, keys, seeds, setting.origin)


def front(goodness: pd.Series, cost: pd.Series) -> pd.Series:
    """The Pareto front: which are not dominated, because nothing is as good at a lower cost, or better at the same."""
    good, price = goodness.to_numpy(float), cost.to_numpy(float)
    known = ~np.isnan(good) & ~np.isnan(price)
    order = np.argsort(price[known], kind="stable")
    prices = price[known][order]
    best = np.concatenate([[-np.inf], np.maximum.accumulate(good[known][order])])  # of the first so many
    cheaper, as_cheap = (np.searchsorted(prices, price, side) for side in ("left", "right"))
    dominated = known & ((cheaper > 0) & (best[cheaper] >= good) | (best[as_cheap] > good))
    return pd.Series(~dominated, index=goodness.index)


def is_dense(record: dict[str, Any]) -> bool:
    """Whether its encoder is as it was trained."""
    return record["run"]["compression"] is None and "finetune" not in record["run"]


def _flat(record: dict[str, Any], task: Task) -> dict[str, Any]:
    compression = record["run"]["compression"]
    about = compression or record["run"]
    row = {
        "key": encoder_key(record["run"]),
        "compressed": compression is not None,
        "compression": compression,
        "tuned": tuning_key(record["run"]),
        "trained_again": "finetune" in about or "distill" in about,
        "seed": record["run"]["seed"],
        "machine": kind(record["machine"]),
        "score": record["scores"][task.primary],
        "parameters": record["size"]["lstm_parameters"],
        "ratio": record["size"]["lstm_ratio"],
        "megabytes": record["size"]["encoder_bytes"] / 1e6,
        "multiply_adds": record["size"]["lstm_multiply_adds"] + record["size"]["char_cnn_multiply_adds"],
        "activation_error": (record.get("activation_error") or {}).get("all", float("nan")),
    }
    for part in ("encoder", "model"):
        for batch in BATCHES:
            times = record["latency"][part][batch]
            for name, key in _TIMES.items():
                row[f"{part}_{batch}_{name}"] = times.get(key, float("nan"))
    return row
