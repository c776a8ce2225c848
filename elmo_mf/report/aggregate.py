"""Records to one row an encoder: means over seeds, differences to dense."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from elmo_mf.factorize import Compression
from elmo_mf.harness.task import Task, load_task

BATCHES = ("1", "32")


@dataclass(frozen=True)
class Board:
    """One table: a task in one setting (same data, ELMo and model config).

    `rows` has one row an encoder, best score first: `encoder`, `compressed`, `seeds`, `score`, `std`, `difference`,
    `at_chance`, `best`, `parameters`, `ratio`, `multiply_adds`, `activation_error` (nan where it was not recorded), and
    for the parts `encoder` and `model` and the batches 1 and 32 `<part>_<batch>_median`, `_p95` and `_speed_up`.
    `records` are the records behind it.
    """

    task: Task
    rows: pd.DataFrame
    chance: float
    records: list[dict[str, Any]]


def boards(records: list[dict[str, Any]]) -> list[Board]:
    """All boards of some records, by task."""
    settings: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        settings.setdefault(_setting(record), []).append(record)
    return [_board(group) for _, group in sorted(settings.items())]


def _setting(record: dict[str, Any]) -> str:
    """What must be the same for scores to be compared: the cell without compression and seed."""
    cell = {key: value for key, value in record["cell"].items() if key not in ("compression", "seed")}
    return f"{cell['task']} {json.dumps(cell, sort_keys=True)}"


def _board(records: list[dict[str, Any]]) -> Board:
    task = load_task(records[0]["cell"]["task"])
    frame = pd.DataFrame([_flat(record, task) for record in records]).sort_values(["encoder", "seed"])
    dense = frame[~frame["compressed"]].set_index("seed")["score"]
    frame["difference"] = frame["score"] - frame["seed"].map(dense)
    groups = frame.groupby("encoder", sort=True)
    rows = groups.agg("median", numeric_only=True).drop(columns=["seed", "score", "difference", "compressed"])
    rows["score"], rows["std"] = groups["score"].mean(), groups["score"].std(ddof=1)
    rows["difference"], rows["seeds"] = groups["difference"].mean(), groups["seed"].nunique()
    rows["compressed"] = groups["compressed"].first()
    chance, n = records[0]["chance"], records[0]["examples"][task.scored]
    higher = task.metrics[task.primary] == "higher"
    least = chance + 2 * np.sqrt(chance * (1 - chance) / n) if higher else chance
    rows["at_chance"] = (rows["score"] <= least) if higher else (rows["score"] >= least)
    rows = rows.reset_index().sort_values(["score", "parameters", "encoder"], ascending=[not higher, True, True])
    compressed = rows.index[rows["compressed"]]
    rows["best"] = rows.index == (compressed[0] if len(compressed) else -1)
    return Board(task, rows.reset_index(drop=True), chance, records)


def _flat(record: dict[str, Any], task: Task) -> dict[str, Any]:
    compression = record["cell"]["compression"]
    row = {
        "encoder": "dense" if compression is None else str(Compression.from_dict(compression)),
        "compressed": compression is not None,
        "seed": record["cell"]["seed"],
        "score": record["scores"][task.primary],
        "parameters": record["size"]["lstm_parameters"],
        "ratio": record["size"]["lstm_ratio"],
        "multiply_adds": record["size"]["lstm_multiply_adds"],
        "activation_error": (record.get("activation_error") or {}).get("all", float("nan")),
    }
    for part in ("encoder", "model"):
        for batch in BATCHES:
            times = record["latency"][part][batch]
            for name, key in (("median", "median_ms"), ("p95", "p95_ms"), ("speed_up", "speed_up")):
                row[f"{part}_{batch}_{name}"] = times[key]
    return row
