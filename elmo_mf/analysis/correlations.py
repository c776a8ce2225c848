"""Analyse recorded results: the cost of compressing each matrix, and its correlation with norms.

Winata et al. 2019 state that the additive recurrence (target `input`) matters more than the multiplicative one
(`recurrent`), and that a matrix with larger norms is more expensive to compress.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import permutations
from typing import Any, Literal

import numpy as np
import pandas as pd

from elmo_mf.leaderboard import Board, machine_kind
from elmo_mf.records.compression import Compression
from elmo_mf.records.digest import digest
from elmo_mf.records.identity import Scoring
from elmo_mf.records.labels import distinguishing_facts, encoder_facts, size_label
from elmo_mf.records.record import NORMS, LstmMatrix, Record

LOSS, ACTIVATION, MATRIX, INPUTS = "loss in score", "activation error", "matrix error", "error on inputs"
_GROUP = ["method", "size", "target", "layers"]


@dataclass(frozen=True)
class Interval:
    """A mean or a correlation, with its 95 % confidence interval; nan where there are too few values.

    Attributes:
        value: The mean or the correlation.
        low: Lower end of the interval.
        high: Upper end of the interval.
        n: Number of values.
        seeds: Number of seeds that a mean's interval is over, where several values share a seed.
        p: For a rank correlation, the two-sided probability of one as large if the values are paired at random.
    """

    value: float
    low: float
    high: float
    n: int
    seeds: int | None = None
    p: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether zero is excluded at 5 %; decided by `p` if there is one, because intervals of few ranks are rough."""
        return self.low > 0 or self.high < 0 if self.p is None else self.p < 0.05


@dataclass(frozen=True)
class Correlation:
    """The correlation of a norm with an outcome.

    Attributes:
        norm: Name of the norm.
        outcome: Name of the outcome that it is correlated with.
        pearson: Pearson's correlation.
        spearman: Spearman's rank correlation.
    """

    norm: str
    outcome: str
    pearson: Interval
    spearman: Interval


@dataclass(frozen=True)
class Explanation:
    """The analysis of one board.

    Attributes:
        board: The board.
        costs: A row per compression of one target: `method` (with what distinguishes it besides size, target and
            layers), `size` (rank or budget), `target`, `layers`, `seeds`, `mixed` (any seed scored on another kind of
            machine than its dense encoder), `saved` (parameters), `loss` and `loss_se` (mean and standard error of the
            score of the dense encoder with the same seed minus its own, or of the logarithm of the perplexities'
            ratio), `activation`, and both per 100,000 parameters saved, `loss_per` and `activation_per`.
        correlations: A correlation of each norm with each outcome.
        additive: How much more `input` costs than `recurrent` at the same method, size, layers and seed. Pairs with the
            same seed share a dense encoder, so the interval is over the means of the seeds.
        dearer: Number of these pairs in which `input` costs more.
        first: How much more layer 0 costs than layer 1 at the same method, size, target and seed; the interval is over
            the means of the seeds.
        points: For each outcome, the correlated values: a row per matrix, or per compression of matrices that are in no
            other row, with all norms.
    """

    board: Board
    costs: pd.DataFrame
    correlations: list[Correlation]
    additive: Interval
    dearer: int
    first: Interval
    points: dict[str, pd.DataFrame]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, without the points; unknown numbers are null."""
        values = {
            "costs": self.costs.to_dict("records"),
            "correlations": [asdict(one) for one in self.correlations],
            "additive": asdict(self.additive),
            "first": asdict(self.first),
        }
        return dict(json.loads(json.dumps(values, default=float), parse_constant=lambda _: None))


def explain(board: Board) -> Explanation:
    """Analyse the records of compressed encoders on a board, except those without errors and norms.

    Args:
        board: The board.

    Returns:
        Costs of compressing each matrix, and their correlations with norms.
    """
    frame = _with_distinct_methods(pd.DataFrame(list(_single_targets(board))))
    costs = _costs(frame)
    points = {LOSS: _points(frame, "loss"), ACTIVATION: _points(frame, "activation")}
    matrices = pd.DataFrame(list(_matrices(board)))
    for outcome, column in ((MATRIX, "error"), (INPUTS, "input_error")):
        points[outcome] = matrices.assign(outcome=matrices[column]) if len(matrices) else pd.DataFrame()
    rows = [_correlation(table, norm, outcome) for norm in NORMS for outcome, table in points.items() if len(table)]
    pairs = _differences(frame, "target", "input", "recurrent")
    first = interval_over_seeds(_differences(frame, "layers", "0", "1"))
    dearer = int((pairs > 0).to_numpy().sum())
    return Explanation(board, costs, rows, interval_over_seeds(pairs), dearer, first, points)


def _single_targets(board: Board) -> Iterator[dict[str, Any]]:
    """Yield a row for each record whose compression has one target, with the mean norms of its matrices."""
    dense = {record.run.seed: record for record in board.records if record.is_dense}
    for record in board.records:
        compression, seed = record.run.compression, record.run.seed
        if compression is None or seed not in dense or not record.matrices or record.activation_error is None:
            continue
        if len(compression.targets) == 1 and compression.only_lstm_factors:
            yield _single_target(record, compression, dense[seed], board.scoring)


def _single_target(record: Record, compression: Compression, dense: Record, scoring: Scoring) -> dict[str, Any]:
    layers, directions = compression.layers, compression.directions
    facts = encoder_facts(record.run.encoder)
    assert record.activation_error is not None and dense.size is not None and record.size is not None
    return {
        "facts": {name: value for name, value in facts.items() if name not in ("targets", "layers", "directions")},
        "method": compression.method,
        "size": size_label(compression),
        "target": compression.targets[0],
        "layers": " ".join([_listed(layers), *([] if directions == "all" else [_listed(directions)])]),
        "seed": record.run.seed,
        "mixed": machine_kind(record.machine) != machine_kind(dense.machine),
        "saved": dense.size.lstm_parameters - record.size.lstm_parameters,
        "loss": _loss(scoring, dense.score, record.score),
        "activation": record.activation_error.all,
        "covers": _covers(record.matrices),
        **_mean_norms(record.matrices),
    }


def _listed(places: Literal["all"] | Sequence[int] | Sequence[str]) -> str:
    return "all" if places == "all" else "+".join(map(str, places))


def _with_distinct_methods(frame: pd.DataFrame) -> pd.DataFrame:
    """Add to names of methods the facts that distinguish them, besides size, target and layers."""
    if frame.empty:
        return frame
    keys = frame["facts"].map(digest)
    labels = dict(zip(keys, frame["method"] + " " + frame["size"], strict=True))
    added = distinguishing_facts(labels, dict(zip(keys, frame["facts"], strict=True)))
    methods = [" ".join([method, *added[key]]) for method, key in zip(frame["method"], keys, strict=True)]
    return frame.assign(method=methods).drop(columns="facts")


def _loss(scoring: Scoring, dense: float, compressed: float) -> float:
    """Return the loss in score by compression, for a perplexity in nats per word."""
    if scoring.higher_is_better:
        return dense - compressed
    return float(np.log(compressed / dense)) if scoring.primary == "perplexity" else compressed - dense


def _covers(matrices: Sequence[LstmMatrix]) -> frozenset[tuple[str, int, str]]:
    """Return the compressed matrices; `joint` counts as input and recurrent."""
    parts = {"joint": ("input", "recurrent")}
    return frozenset(
        (one.direction, one.layer, part) for one in matrices for part in parts.get(one.target, (one.target,))
    )


def _mean_norms(matrices: Sequence[LstmMatrix]) -> dict[str, float]:
    return {norm: float(np.mean([getattr(matrix.norms, norm) for matrix in matrices])) for norm in NORMS}


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
    """Return means over seeds of compressions that share no matrix, for the method and size with the most of them."""
    if frame.empty:
        return frame
    groups = frame.groupby(_GROUP)
    means = groups.mean(numeric_only=True).assign(covers=groups["covers"].first()).reset_index()
    alone = (_disjoint(one) for _, one in means.groupby(["method", "size"]))
    chosen = max(alone, key=len)
    return chosen.assign(outcome=chosen[column])


def _disjoint(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows that share no matrix, preferring those with fewer matrices."""
    seen: set[tuple[str, int, str]] = set()
    kept = []
    places = list(enumerate(rows["covers"]))
    for place, covers in sorted(places, key=lambda item: len(item[1])):
        if not seen & covers:
            seen |= covers
            kept.append(place)
    return rows.iloc[sorted(kept)]


def _matrices(board: Board) -> Iterator[dict[str, Any]]:
    """Yield every matrix of the plain SVD of all targets, at the lowest recorded rank and of the first seed."""
    candidates = [
        (rank, one.run.seed, one.matrices) for one in board.records if (rank := _plain_svd_rank(one)) is not None
    ]
    if candidates:
        for matrix in min(candidates, key=lambda item: item[:2])[2]:
            values = matrix.model_dump(exclude={"norms"})
            yield {**values, **matrix.norms.model_dump(), "layers": str(matrix.layer)}


def _plain_svd_rank(record: Record) -> int | None:
    """Return the rank if a record is of the plain SVD of all targets and layers, else None."""
    one = record.run.compression
    if one is None or not record.matrices or one.method != "svd" or len(one.targets) != 3:
        return None
    whole = one.is_whole and one.only_lstm_factors
    return one.rank if whole and isinstance(one.rank, int) else None


def _correlation(table: pd.DataFrame, norm: str, outcome: str) -> Correlation:
    x, y = (_rounded(table[name].to_numpy(float)) for name in (norm, "outcome"))
    return Correlation(norm, outcome, correlation(x, y), rank_correlation(x, y))


def _rounded(values: np.ndarray) -> np.ndarray:
    """Round to 12 digits, because means of equal numbers can differ in their last bits but must tie in rank."""
    return np.array([float(f"{value:.12g}") for value in values])


def correlation(x: np.ndarray, y: np.ndarray) -> Interval:
    """Compute Pearson's r with Fisher's interval.

    Args:
        x: Values, (n,).
        y: Values, (n,).

    Returns:
        r, and the interval tanh(artanh(r) +- 1.96 / sqrt(n - 3)) (Fisher 1921); nan for fewer than four values or
        constant ones.
    """
    return _fisher(x, y, lambda r: 1.0)


def rank_correlation(x: np.ndarray, y: np.ndarray) -> Interval:
    """Compute Spearman's rho with the interval of Bonett and Wright (2000), and its `p`.

    The interval is tanh(artanh(rho) +- 1.96 sqrt((1 + rho^2 / 2) / (n - 3))). `p` is exact up to eight values, by all
    permutations; fewer than five values cannot reach 5 % and give nan.

    Args:
        x: Values, (n,).
        y: Values, (n,).

    Returns:
        rho, its interval and `p`; nan for constant values too.
    """
    one, other = _ranks(x), _ranks(y)
    interval = _fisher(one, other, lambda r: 1 + r**2 / 2)
    if len(x) < _FEWEST or np.isnan(interval.value):
        return Interval(float("nan"), float("nan"), float("nan"), len(x))
    return replace(interval, p=_probability(one, other, interval.value))


def partial_rank_correlation(x: np.ndarray, y: np.ndarray, given: np.ndarray, n: int) -> Interval:
    """Compute Spearman's partial correlation: that of the ranks' residuals in linear models of other ranks.

    The interval is that of `rank_correlation` with one value less for each independent variable that is given (Fisher
    1924). `p` is by all permutations of the residuals up to eight values (Kennedy 1995), else by Student's t.

    Args:
        x: Values, (rows,).
        y: Values, (rows,).
        given: Values of the given variables, (rows, variables); constant ones have no effect.
        n: Number of independent rows, which may be fewer than all.

    Returns:
        The correlation, its interval over `n` values and `p`, both unknown where they would be over fewer than five;
        all nan where either has no residuals.
    """
    others = np.column_stack([np.ones(len(x)), *(_ranks(column) for column in given.T)])
    taken = int(np.linalg.matrix_rank(others)) - 1
    ranks = np.column_stack([_ranks(x), _ranks(y)])
    left = ranks - others @ np.linalg.lstsq(others, ranks, rcond=None)[0]
    if min(left.std(axis=0)) < 1e-9:
        return Interval(float("nan"), float("nan"), float("nan"), n)
    one, other = left.T
    if n - taken < _FEWEST:
        return Interval(float(np.corrcoef(one, other)[0, 1]), float("nan"), float("nan"), n)
    interval = replace(_fisher(one, other, lambda r: 1 + r**2 / 2, n - taken), n=n)
    return replace(interval, p=_probability(one, other, interval.value, n - taken))


_FEWEST, _EXACT = 5, 8


def _probability(one: np.ndarray, other: np.ndarray, rho: float, n: int | None = None) -> float:
    """Return the two-sided probability of rho, by all permutations or, if they are too many, by Student's t.

    Args:
        one: Values, (rows,).
        other: Values, (rows,).
        rho: Their correlation.
        n: Number of independent values that Student's t counts; by default all.
    """
    from scipy.special import stdtr

    n = len(one) if n is None else n
    if len(one) > _EXACT:
        t = rho * np.sqrt((n - 2) / max(1e-300, 1 - rho**2))
        return float(2 * stdtr(n - 2, -abs(t)))
    centred = other - other.mean()
    sums = np.abs(one[np.array(list(permutations(range(len(one)))))] @ centred)
    return float((sums >= abs(one @ centred) * (1 - 1e-9)).mean())


def _fisher(x: np.ndarray, y: np.ndarray, variance: Callable[[float], float], n: int | None = None) -> Interval:
    n = len(x) if n is None else n
    if n < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Interval(float("nan"), float("nan"), float("nan"), n)
    r = float(np.corrcoef(x, y)[0, 1])
    if abs(r) > 1 - 1e-12:  # Fisher's interval has zero width here
        return Interval(r, float("nan"), float("nan"), n)
    z = np.arctanh(r)
    error = np.sqrt(variance(r) / (n - 3))
    return Interval(r, float(np.tanh(z - 1.96 * error)), float(np.tanh(z + 1.96 * error)), n)


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values))


def _differences(frame: pd.DataFrame, column: str, one: str, other: str) -> pd.DataFrame:
    """Return differences in loss between two values of a column, all else equal: a row per case, a column per seed."""
    same = [name for name in _GROUP if name != column]
    if not frame.empty:
        table = frame.pivot_table(index=[*same, "seed"], columns=column, values="loss")
        if {one, other} <= set(table.columns):
            return (table[one] - table[other]).dropna().unstack("seed")
    return pd.DataFrame()


def interval_over_seeds(pairs: pd.DataFrame) -> Interval:
    """Return the mean of all pairs, with Student's interval over the seeds' means in cases that all seeds have.

    Args:
        pairs: Differences, (cases, seeds); nan where a seed lacks a case.
    """
    values = pairs.to_numpy(float)
    n = int(np.isfinite(values).sum())
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0, seeds=0)
    over = mean_interval(pairs.dropna().mean().dropna().to_numpy(float))
    shift = float(np.nanmean(values)) - over.value
    return Interval(float(np.nanmean(values)), over.low + shift, over.high + shift, n, seeds=over.n)


def mean_interval(values: np.ndarray) -> Interval:
    """Return the mean with Student's 95 % interval.

    Args:
        values: (n,).
    """
    from scipy.special import stdtrit

    n = len(values)
    if n < 2:
        return Interval(float(values[0]) if n else float("nan"), float("nan"), float("nan"), n)
    mean, half_width = float(values.mean()), float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half_width, mean + half_width, n)
