"""The paper's analysis on recorded results: what each matrix costs when it is compressed, and what norms say of it.

From records alone. Winata et al. 2019 hold that the additive recurrence (target `input`) matters more than
the multiplicative one (`recurrent`), and that norms of a matrix go with how well it compresses.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from elmo_mf.factorize import Compression
from elmo_mf.factorize.norms import NORMS
from elmo_mf.harness.grid import digest
from elmo_mf.harness.task import Task
from elmo_mf.report.aggregate import Board, is_dense
from elmo_mf.report.encoders import distinct, encoder_facts
from elmo_mf.report.settings import leaves

LOSS, ACTIVATION, MATRIX, INPUTS = "loss in score", "activation error", "matrix error", "error on inputs"
_GROUP = ["method", "size", "target", "layers"]


@dataclass(frozen=True)
class Interval:
    """A mean or a correlation of `n` values, with its 95 % confidence interval; nan where `n` is too small."""

    value: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Explanation:
    """Of one task's board.

    # Parameters
    costs: a row a compression of one target: `method`, with what tells it from others of the board but for its size,
        target and layers, `size` (rank or budget), `target`, `layers`, `seeds`, `saved` (parameters), `loss` and
        `loss_se` (score of the dense encoder with the same seed less its own, or the logarithm of the perplexities'
        ratio; mean and standard error), `activation`, and both per 100,000 parameters saved, `loss_per` and
        `activation_per`.
    correlations: a row for each norm and outcome: `norm`, `outcome`, and the intervals `pearson` and `spearman`.
    additive: by how much more `input` costs than `recurrent`, at the same method, size, layers and seed; `dearer` says
        in how many of these pairs it does.
    first: by how much more layer 0 costs than layer 1, at the same method, size, target and seed.
    points: what the correlations are of: for each outcome, a row a matrix or a compression with all norms.
    """

    board: Board
    costs: pd.DataFrame
    correlations: pd.DataFrame
    additive: Interval
    dearer: int
    first: Interval
    points: dict[str, pd.DataFrame]

    def to_dict(self) -> dict[str, Any]:
        """JSON form, without the points; what is not known is null."""
        rows = [
            {name: asdict(value) if isinstance(value, Interval) else value for name, value in row.items()}
            for row in self.correlations.to_dict("records")
        ]
        costs = self.costs.to_dict("records")
        found = {"costs": costs, "correlations": rows, "additive": asdict(self.additive), "first": asdict(self.first)}
        return dict(json.loads(json.dumps(found, default=float), parse_constant=lambda _: None))


def explain(board: Board) -> Explanation:
    """The analysis of a board's records; those of dense encoders, or without errors and norms, say nothing."""
    frame = _told_apart(pd.DataFrame(list(_single_targets(board))))
    costs = _costs(frame)
    points = {LOSS: _points(frame, "loss"), ACTIVATION: _points(frame, "activation")}
    matrices = pd.DataFrame(list(_matrices(board)))
    for outcome, column in ((MATRIX, "error"), (INPUTS, "input_error")):
        points[outcome] = matrices.assign(outcome=matrices[column]) if len(matrices) else pd.DataFrame()
    rows = [
        {"norm": norm, "outcome": outcome, **_correlations(table, norm)}
        for norm in NORMS
        for outcome, table in points.items()
        if len(table)
    ]
    pairs = _differences(frame, "target", "input", "recurrent")
    first = mean_interval(_differences(frame, "layers", "0", "1"))
    return Explanation(board, costs, pd.DataFrame(rows), mean_interval(pairs), int((pairs > 0).sum()), first, points)


def _single_targets(board: Board) -> Iterator[dict[str, Any]]:
    """A row a record whose compression has one target, with the mean norms of its matrices."""
    task = board.task
    dense = {r["cell"]["seed"]: r for r in board.records if is_dense(r)}
    for record in board.records:
        raw, seed = record["cell"]["compression"], record["cell"]["seed"]
        if raw is None or seed not in dense or not record.get("matrices") or record.get("activation_error") is None:
            continue
        compression = Compression.from_dict(raw)
        if len(compression.targets) != 1 or compression.directions != "all" or not compression.of_lstms_alone:
            continue
        layers = compression.layers
        about = {key: value for key, value in encoder_facts(record["cell"]).items() if key not in ("targets", "layers")}
        yield {
            "about": about,
            "method": compression.method,
            "size": compression.size_text,
            "target": compression.targets[0],
            "layers": "all" if layers == "all" else "+".join(map(str, layers)),
            "seed": seed,
            "saved": dense[seed]["size"]["lstm_parameters"] - record["size"]["lstm_parameters"],
            "loss": _loss(task, dense[seed]["scores"][task.primary], record["scores"][task.primary]),
            "activation": record["activation_error"]["all"],
            **_mean_norms(record["matrices"]),
        }


def _told_apart(frame: pd.DataFrame) -> pd.DataFrame:
    """With methods whose name says what they differ in, where it is not their size, target or layers."""
    if frame.empty:
        return frame
    keys = frame["about"].map(digest)
    labels = dict(zip(keys, frame["method"] + " " + frame["size"], strict=True))
    names = distinct(labels, {key: dict(leaves(about)) for key, about in zip(keys, frame["about"], strict=True)})
    added = keys.map({key: names[key].removeprefix(label) for key, label in labels.items()})
    return frame.assign(method=frame["method"] + added).drop(columns="about")


def _loss(task: Task, dense: float, own: float) -> float:
    """Of score; of a perplexity, which multiplies, in nats a word."""
    if task.metrics[task.primary] == "higher":
        return dense - own
    return float(np.log(own / dense)) if task.primary == "perplexity" else own - dense


def _mean_norms(matrices: list[Mapping[str, Any]]) -> dict[str, float]:
    return {norm: float(np.mean([matrix["norms"][norm] for matrix in matrices])) for norm in NORMS}


def _costs(frame: pd.DataFrame) -> pd.DataFrame:
    if frame.empty:
        return frame
    groups = frame.groupby(_GROUP, sort=True)
    costs = groups.agg(
        seeds=("seed", "nunique"), saved=("saved", "first"), loss=("loss", "mean"), loss_se=("loss", "sem"),
        activation=("activation", "mean"),
    ).reset_index()  # fmt: skip
    for name in ("loss", "activation"):
        costs[f"{name}_per"] = costs[name] / costs["saved"] * 100_000
    return costs


def _points(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """One row a compression, mean over seeds, of the method and size with the most of them."""
    if frame.empty:
        return frame
    means = frame.groupby(_GROUP).mean(numeric_only=True).reset_index()
    _, chosen = max(means.groupby(["method", "size"]), key=lambda group: len(group[1]))
    return chosen.assign(outcome=chosen[column])


def _matrices(board: Board) -> Iterator[dict[str, Any]]:
    """Every matrix of the plain SVD of all targets at the lowest rank that was run, in one record."""
    found = []
    for record in board.records:
        raw = record["cell"]["compression"]
        if raw is None or not record.get("matrices"):
            continue
        compression = Compression.from_dict(raw)
        plain = compression.method == "svd" and isinstance(compression.rank, int) and len(compression.targets) == 3
        if plain and compression.layers == "all" and compression.directions == "all" and compression.of_lstms_alone:
            found.append((compression.rank, record["cell"]["seed"], record["matrices"]))
    if found:
        for matrix in min(found, key=lambda item: item[:2])[2]:
            yield {**matrix, **matrix["norms"], "layers": str(matrix["layer"])}


def _correlations(table: pd.DataFrame, norm: str) -> dict[str, Interval]:
    x, y = table[norm].to_numpy(float), table["outcome"].to_numpy(float)
    return {"pearson": correlation(x, y), "spearman": correlation(_ranks(x), _ranks(y), spearman=True)}


def correlation(x: np.ndarray, y: np.ndarray, spearman: bool = False) -> Interval:
    """Pearson's r with Fisher's interval; of ranks, Spearman's with that of Bonett and Wright (2000)."""
    n = len(x)
    if n < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Interval(float("nan"), float("nan"), float("nan"), n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        r = float(np.corrcoef(x, y)[0, 1])
    z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    error = np.sqrt((1 + r**2 / 2 if spearman else 1) / (n - 3))
    return Interval(r, float(np.tanh(z - 1.96 * error)), float(np.tanh(z + 1.96 * error)), n)


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values))


def _differences(frame: pd.DataFrame, column: str, one: str, other: str) -> np.ndarray:
    """Of the losses of two values of a column, where all else is the same."""
    same = [name for name in (*_GROUP, "seed") if name != column]
    pairs = np.array([])
    if not frame.empty:
        table = frame.pivot_table(index=same, columns=column, values="loss")
        if {one, other} <= set(table.columns):
            pairs = (table[one] - table[other]).dropna().to_numpy(float)
    return pairs


def mean_interval(values: np.ndarray) -> Interval:
    """The mean with Student's interval."""
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return Interval(float(values[0]) if n else float("nan"), float("nan"), float("nan"), n)
    mean, half = float(values.mean()), float(t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)
