"""The paper's analysis on recorded results: what each matrix costs when it is compressed, and what norms say of it.

From records alone. Winata et al. 2019 hold that the additive recurrence (target `input`) matters more than
the multiplicative one (`recurrent`), and that norms of a matrix go with how well it compresses: the larger, the dearer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd

from elmo_mf.leaderboard.aggregate import Board, is_dense
from elmo_mf.leaderboard.machines import kind
from elmo_mf.leaderboard.settings import leaves
from elmo_mf.records.compressions import compression_of
from elmo_mf.records.encoders import distinct, encoder_facts
from elmo_mf.records.labels import size_label
from elmo_mf.tasks.config import Task
from elmo_mf.tasks.grid import digest

NORMS = ("l1", "frobenius", "spectral", "nuclear", "std", "effective_rank")
LOSS, ACTIVATION, MATRIX, INPUTS = "loss in score", "activation error", "matrix error", "error on inputs"
_GROUP = ["method", "size", "target", "layers"]


@dataclass(frozen=True)
class Interval:
    """A mean or a correlation of `n` values, with its 95 % confidence interval; nan where there are too few.

    `seeds` are those that a mean's interval is over, where several of its values share one; `p` is a rank correlation's
    probability, of none larger in amount when the values are paired at random.
    """

    value: float
    low: float
    high: float
    n: int
    seeds: int | None = None
    p: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """At 5 %; by `p` where there is one, since intervals of a handful of ranks are rough."""
        return self.low > 0 or self.high < 0 if self.p is None else self.p < 0.05


@dataclass(frozen=True)
class Explanation:
    """Of one task's board.

    Attributes:
        costs: a row a compression of one target: `method`, with what tells it from others of the board but for its
            size, target and layers, `size` (rank or budget), `target`, `layers`, `seeds`, `mixed` (any seed scored on
            another kind of machine than its dense encoder), `saved` (parameters), `loss` and `loss_se` (score of the
            dense encoder with the same seed less its own, or the logarithm of the perplexities' ratio; mean and
            standard error), `activation`, and both per 100,000 parameters saved, `loss_per` and `activation_per`.
        correlations: a row for each norm and outcome: `norm`, `outcome`, and the intervals `pearson` and `spearman`.
        additive: by how much more `input` costs than `recurrent`, at the same method, size, layers and seed; `dearer`
            says in how many of these pairs it does. Pairs of a seed share its dense encoder, and all layers are in a
            pair beside each of them, so that the interval is over the seeds' means.
        first: by how much more layer 0 costs than layer 1, at the same method, size, target and seed; so is its
            interval.
        points: what the correlations are of: for each outcome, a row a matrix, or a compression of matrices that are in
            no other row, with all norms.
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
    first = interval_over_seeds(_differences(frame, "layers", "0", "1"))
    dearer = int((pairs > 0).to_numpy().sum())
    return Explanation(board, costs, pd.DataFrame(rows), interval_over_seeds(pairs), dearer, first, points)


def _single_targets(board: Board) -> Iterator[dict[str, Any]]:
    """A row a record whose compression has one target, with the mean norms of its matrices."""
    task = board.task
    dense = {r["run"]["seed"]: r for r in board.records if is_dense(r)}
    for record in board.records:
        raw, seed = record["run"]["compression"], record["run"]["seed"]
        if raw is None or seed not in dense or not record.get("matrices") or record.get("activation_error") is None:
            continue
        compression = compression_of(raw)
        if len(compression.targets) != 1 or compression.directions != "all" or not compression.only_lstm_factors:
            continue
        layers = compression.layers
        about = {key: value for key, value in encoder_facts(record["run"]).items() if key not in ("targets", "layers")}
        yield {
            "about": about,
            "method": compression.method,
            "size": size_label(compression),
            "target": compression.targets[0],
            "layers": "all" if layers == "all" else "+".join(map(str, layers)),
            "seed": seed,
            "mixed": kind(record["machine"]) != kind(dense[seed]["machine"]),
            "saved": dense[seed]["size"]["lstm_parameters"] - record["size"]["lstm_parameters"],
            "loss": _loss(task, dense[seed]["scores"][task.primary], record["scores"][task.primary]),
            "activation": record["activation_error"]["all"],
            "covers": _covers(record["matrices"]),
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


def _covers(matrices: list[Mapping[str, Any]]) -> frozenset[tuple[str, int, str]]:
    """Which matrices were compressed; `joint` is input and recurrent."""
    parts = {"joint": ("input", "recurrent")}
    return frozenset(
        (one["direction"], one["layer"], part)
        for one in matrices
        for part in parts.get(one["target"], (one["target"],))
    )


def _mean_norms(matrices: list[Mapping[str, Any]]) -> dict[str, float]:
    return {norm: float(np.mean([matrix["norms"][norm] for matrix in matrices])) for norm in NORMS}


def _costs(frame: pd.DataFrame) -> pd.DataFrame:
    if frame.empty:
        return frame
    groups = frame.groupby(_GROUP, sort=True)
    costs = groups.agg(
        seeds=("seed", "nunique"), mixed=("mixed", "any"), saved=("saved", "first"), loss=("loss", "mean"),
        loss_se=("loss", "sem"), activation=("activation", "mean"),
    ).reset_index()  # fmt: skip
    for name in ("loss", "activation"):
        costs[f"{name}_per"] = costs[name] / costs["saved"] * 100_000
    return costs


def _points(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """One row a compression, mean over seeds, of the method and size with the most of them; no two of one matrix."""
    if frame.empty:
        return frame
    groups = frame.groupby(_GROUP)
    means = groups.mean(numeric_only=True).assign(covers=groups["covers"].first()).reset_index()
    alone = (_disjoint(one) for _, one in means.groupby(["method", "size"]))
    chosen = max(alone, key=len)
    return chosen.assign(outcome=chosen[column])


def _disjoint(rows: pd.DataFrame) -> pd.DataFrame:
    """Those that share no matrix; of what overlaps, the parts and not the whole."""
    seen: set[tuple[str, int, str]] = set()
    kept = []
    places = list(enumerate(rows["covers"]))
    for place, covers in sorted(places, key=lambda item: len(item[1])):
        if not seen & covers:
            seen |= covers
            kept.append(place)
    return rows.iloc[sorted(kept)]


def _matrices(board: Board) -> Iterator[dict[str, Any]]:
    """Every matrix of the plain SVD of all targets at the lowest rank that was run, in one record."""
    found = []
    for record in board.records:
        raw = record["run"]["compression"]
        if raw is None or not record.get("matrices"):
            continue
        compression = compression_of(raw)
        plain = compression.method == "svd" and isinstance(compression.rank, int) and len(compression.targets) == 3
        if plain and compression.layers == "all" and compression.directions == "all" and compression.only_lstm_factors:
            found.append((compression.rank, record["run"]["seed"], record["matrices"]))
    if found:
        for matrix in min(found, key=lambda item: item[:2])[2]:
            yield {**matrix, **matrix["norms"], "layers": str(matrix["layer"])}


def _correlations(table: pd.DataFrame, norm: str) -> dict[str, Interval]:
    x, y = (_rounded(table[name].to_numpy(float)) for name in (norm, "outcome"))
    return {"pearson": correlation(x, y), "spearman": rank_correlation(x, y)}


def _rounded(values: np.ndarray) -> np.ndarray:
    """To 12 digits: means of equal numbers differ in their last bits, which are no ranks."""
    return np.array([float(f"{value:.12g}") for value in values])


def correlation(x: np.ndarray, y: np.ndarray) -> Interval:
    """Pearson's r with Fisher's interval; nan for fewer than four values or constant ones, its bounds where r is 1."""
    return _fisher(x, y, lambda r: 1.0)


def rank_correlation(x: np.ndarray, y: np.ndarray) -> Interval:
    """Spearman's rho with the interval of Bonett and Wright (2000), and its `p`.

    That is exact up to eight values, by all permutations; fewer than five cannot come below 5 % and give nan.
    """
    one, other = _ranks(x), _ranks(y)
    found = _fisher(one, other, lambda r: 1 + r**2 / 2)
    if len(x) < _FEWEST or np.isnan(found.value):
        return Interval(float("nan"), float("nan"), float("nan"), len(x))
    return replace(found, p=_probability(one, other, found.value))


_FEWEST, _EXACT = 5, 8


def _probability(one: np.ndarray, other: np.ndarray, rho: float) -> float:
    """Of a rho as large in amount, two-sided: by all permutations, or by Student's t where those are too many."""
    from scipy.special import stdtr

    n = len(one)
    if n > _EXACT:
        t = rho * np.sqrt((n - 2) / max(1e-300, 1 - rho**2))
        return float(2 * stdtr(n - 2, -abs(t)))
    centred = other - other.mean()
    sums = np.abs(one[np.array(list(permutations(range(n))))] @ centred)
    return float((sums >= abs(one @ centred) * (1 - 1e-9)).mean())


def _fisher(x: np.ndarray, y: np.ndarray, variance: Callable[[float], float]) -> Interval:
    n = len(x)
    if n < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Interval(float("nan"), float("nan"), float("nan"), n)
    r = float(np.corrcoef(x, y)[0, 1])
    if abs(r) > 1 - 1e-12:  # where Fisher's interval has no width
        return Interval(r, float("nan"), float("nan"), n)
    z = np.arctanh(r)
    error = np.sqrt(variance(r) / (n - 3))
    return Interval(r, float(np.tanh(z - 1.96 * error)), float(np.tanh(z + 1.96 * error)), n)


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values))


def _differences(frame: pd.DataFrame, column: str, one: str, other: str) -> pd.DataFrame:
    """Of the losses of two values of a column, where all else is the same: a row a case, a column a seed."""
    same = [name for name in _GROUP if name != column]
    if not frame.empty:
        table = frame.pivot_table(index=[*same, "seed"], columns=column, values="loss")
        if {one, other} <= set(table.columns):
            return (table[one] - table[other]).dropna().unstack("seed")
    return pd.DataFrame()


def interval_over_seeds(pairs: pd.DataFrame) -> Interval:
    """The mean of all pairs, with Student's interval over the means of the seeds, in the cases that all seeds have."""
    values = pairs.to_numpy(float)
    n = int(np.isfinite(values).sum())
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0, seeds=0)
    over = mean_interval(pairs.dropna().mean().dropna().to_numpy(float))
    shift = float(np.nanmean(values)) - over.value
    return Interval(float(np.nanmean(values)), over.low + shift, over.high + shift, n, seeds=over.n)


def mean_interval(values: np.ndarray) -> Interval:
    """The mean with Student's interval."""
    from scipy.special import stdtrit

    n = len(values)
    if n < 2:
        return Interval(float(values[0]) if n else float("nan"), float("nan"), float("nan"), n)
    mean, half = float(values.mean()), float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)
