"""The paper's two findings over all models together, from compressions of one target at a time.

A model is a pretrained ELMo, or a task's language model, whose seeds are averaged. Losses are in nats (of the
cross-entropy of a task's labels, or of a language model's words), so that small ones can be told from none. Each board
gives one number. Boards of one ELMo are not independent: their mean is the number of the model, and the interval is
Student's over the models. ELMos with the same options count as one model, because the training of one may have
continued the other's, which records do not say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from elmo_mf.analysis.correlations import Interval, mean_interval, partial_rank_correlation
from elmo_mf.leaderboard import Board, Unit
from elmo_mf.leaderboard.aggregate import Row
from elmo_mf.records.compression import Compression
from elmo_mf.records.identity import Scoring
from elmo_mf.records.record import Record

NORM = "frobenius"
"""The norm that is tested, the same for all models; it is expected to rise with the loss. At a given size it is the
weights' root mean square."""
_UNIT = ["layers", "directions"]
_NEARLY_ONE = 1 - 1e-9
_FEWEST = 6  # compressions of a model, for a partial correlation given three variables

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """A number for each board, and the mean over models.

    Attributes:
        boards: The number of each board, by its title; boards that cannot answer are left out.
        mean: The mean over models, each being the mean of its boards, with Student's interval over the models; of
            correlations by Fisher's transformation.
    """

    boards: dict[str, float]
    mean: Interval


@dataclass(frozen=True)
class FreePair:
    """Compressions of `input` and of `recurrent` on a board where both together cost nothing.

    Attributes:
        board: Title of the board.
        unit: Unit of the board's scores.
        rank: Rank of both.
        input: Difference in score to dense that compressing `input` makes, with the board's interval.
        recurrent: The same for `recurrent`.
    """

    board: str
    unit: Unit
    rank: int
    input: Interval
    recurrent: Interval


@dataclass(frozen=True)
class Findings:
    """The paper's two findings.

    Attributes:
        at_rank: How much more `input` costs than `recurrent` at the same rank, as a share of both losses: 1 where only
            `input` costs anything, -1 where only `recurrent` does, 1/3 where `input` costs twice as much.
        at_parameters: The same at the same number of parameters.
        at_error: The same at the same relative error of the matrices.
        norms: Spearman's partial correlation of `NORM` with the loss, given the size of the matrices and the rank, over
            compressions of one layer.
        free: The boards without any ratio because compressing both targets at equal rank costs nothing there: of each,
            the smallest compressions.
        in_perplexity: Whether all boards that give a ratio of costs are of language models.
        is_demo: Whether the data of all boards behind them are only a demonstration.
    """

    at_rank: Finding
    at_parameters: Finding
    at_error: Finding
    norms: Finding
    free: tuple[FreePair, ...]
    in_perplexity: bool
    is_demo: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form of the numbers; unknown ones are null."""
        values = asdict(self)
        del values["is_demo"]
        for pair in values["free"]:
            del pair["unit"]
        return dict(json.loads(json.dumps(values), parse_constant=lambda _: None))


def findings_of(boards: Sequence[Board]) -> Findings:
    """Compute the findings from the boards that can tell encoders apart."""
    deciding = [board for board in boards if board.trust.decides]
    tables = {board.title: table for board in deciding if len(table := compressions_of(board))}
    models = {board.title: _model(board) for board in deciding}
    norms = _by_board(tables, lambda table: norm_correlation(table).value)
    z = _over_models(
        {name: float(np.arctanh(np.clip(r, -_NEARLY_ONE, _NEARLY_ONE))) for name, r in norms.items()}, models
    )
    value, low, high = (float(np.tanh(end)) for end in (z.value, z.low, z.high))
    by_rank = _by_board(tables, partial(additive, at="rank"))
    pairs = (_free_pair(board) for board in deciding if board.title in tables and board.title not in by_rank)
    free = {pair.board: pair for pair in pairs if pair is not None}
    costly = {title: table for title, table in tables.items() if title not in free}
    costs = [by_rank, *(_by_board(costly, partial(additive, at=at)) for at in ("parameters", "error"))]
    at_rank, at_parameters, at_error = (Finding(one, _over_models(one, models)) for one in costs)
    with_ratio = {title for values in costs for title in values}
    answering = [board for board in deciding if board.title in {*with_ratio, *norms}]
    return Findings(
        at_rank, at_parameters, at_error, Finding(norms, Interval(value, low, high, z.n)),
        free=tuple(free.values()),
        in_perplexity=all(_is_perplexity(board.scoring) for board in answering if board.title in with_ratio),
        is_demo=bool(answering) and all(board.is_demo for board in answering),
    )  # fmt: skip


def _model(board: Board) -> str:
    """Return what boards of one model share: the options of an ELMo, or the task of a language model."""
    elmo = board.first.run.elmo
    return board.task if elmo is None else elmo.options


def _free_pair(board: Board) -> FreePair | None:
    """Return the smallest compressions of `input` and `recurrent` of the same layers and rank; None without any."""
    found: dict[tuple[int, str], dict[str, Row]] = {}
    for row in board.rows:
        one = row.compression
        if one is None or row.is_baseline or row.identity.precision or not _is_plain(one) or np.isnan(row.difference):
            continue
        assert isinstance(one.rank, int)
        found.setdefault((one.rank, f"{one.layers} {one.directions}"), {})[one.targets[0]] = row
    pairs = {key: (of["input"], of["recurrent"]) for key, of in found.items() if {"input", "recurrent"} <= {*of}}
    if not pairs:
        return None
    smallest = min(pairs, key=lambda key: (sum(row.parameters for row in pairs[key]), key))
    changes = (Interval(row.difference, row.low, row.high, row.examples or row.seeds) for row in pairs[smallest])
    return FreePair(board.title, Unit.of(board.scoring), smallest[0], *changes)


def _over_models(values: dict[str, float], models: dict[str, str]) -> Interval:
    """Return the mean over models of the values of boards."""
    table = pd.Series(values, dtype=float)
    return mean_interval(table.groupby(pd.Series(models)).mean().to_numpy(float))


def compressions_of(board: Board) -> pd.DataFrame:
    """Return a row for each plain SVD of one target at an integer rank, with means over seeds.

    Columns are `target`, `layers`, `directions`, `rank`, `parameters` (of the factors), `error` (relative, of the
    matrices), `size` (entries of the matrices), `NORM` and `loss`.
    """
    dense = {
        record.run.seed: nats for record in board.records if record.is_dense and (nats := _nats(record)) is not None
    }
    rows = [
        {**_facts(record, compression), "loss": nats - dense[record.run.seed]}
        for record in board.records
        if (compression := record.run.compression) is not None
        and _is_plain(compression)
        and record.matrices
        and record.run.precision is None
        and record.run.seed in dense
        and (nats := _nats(record)) is not None
    ]
    keys = ["target", *_UNIT, "rank"]
    return pd.DataFrame(rows).groupby(keys, as_index=False).mean() if rows else pd.DataFrame()


def additive(table: pd.DataFrame, at: str) -> float:
    """Return how much more `input` costs than `recurrent`, see `Findings`.

    It is nan where they cannot be compared: without two of the same layers and direction, and where both together cost
    nothing, so that a ratio would be mere noise.

    Args:
        table: See `compressions_of`.
        at: Column in which both are equal. Where no recorded compressions are, losses are interpolated over its
            logarithm between those of other ranks.
    """
    more = both = cost = 0.0
    for _, unit in table.groupby(_UNIT):
        curves = [unit[unit["target"] == target].sort_values(at) for target in ("input", "recurrent")]
        if any(curve.empty for curve in curves):
            continue
        lines = ((np.log(curve[at].to_numpy(float)), curve["loss"].to_numpy(float)) for curve in curves)
        for one, other in _shared(*lines):
            more, both, cost = more + one - other, both + abs(one) + abs(other), cost + one + other
    return more / both if cost > 0 else float("nan")


def norm_correlation(table: pd.DataFrame) -> Interval:
    """Return Spearman's partial correlation, see `Findings`; nan where the compressions are too few or too alike.

    Its interval and `p` are over the matrices or groups of them that were compressed, whatever the number of ranks.

    Args:
        table: See `compressions_of`.
    """
    alone = table[table["layers"] != "all"] if len(table) else table
    if len(alone) < _FEWEST:
        return Interval(float("nan"), float("nan"), float("nan"), len(alone))
    norm, loss = (alone[name].to_numpy(float) for name in (NORM, "loss"))
    n = len(alone[["target", *_UNIT]].drop_duplicates())
    return partial_rank_correlation(norm, loss, alone[["size", "rank"]].to_numpy(float), n)


def _by_board(tables: dict[str, pd.DataFrame], answer: Callable[[pd.DataFrame], float]) -> dict[str, float]:
    return {name: value for name, table in tables.items() if not np.isnan(value := answer(table))}


def _nats(record: Record) -> float | None:
    """Return the cross-entropy of a run in nats; None where it was not recorded."""
    if _is_perplexity(record.run.scoring):
        return float(np.log(record.score))
    return record.scores.get("loss")


def _is_perplexity(scoring: Scoring) -> bool:
    return scoring.primary == "perplexity"


def _is_plain(compression: Compression) -> bool:
    alone = len(compression.targets) == 1 and compression.method == "svd" and isinstance(compression.rank, int)
    return alone and compression.finetune is None and compression.distill is None and compression.only_lstm_factors


def _facts(record: Record, compression: Compression) -> dict[str, str | float]:
    """Return what a compression is, and what its matrices were."""
    matrices = record.matrices
    shapes = np.array([matrix.shape for matrix in matrices], float)
    layers, directions = compression.layers, compression.directions
    assert isinstance(compression.rank, int)
    return {
        "target": compression.targets[0],
        "layers": "all" if layers == "all" else "+".join(map(str, layers)),
        "directions": "all" if directions == "all" else "+".join(directions),
        "rank": compression.rank,
        "parameters": compression.rank * float(shapes.sum()),
        "size": float(shapes.prod(axis=1).sum()),
        "error": float(np.mean([matrix.error for matrix in matrices])),
        NORM: float(np.mean([getattr(matrix.norms, NORM) for matrix in matrices])),
    }


def _shared(one: tuple[Array, Array], other: tuple[Array, Array]) -> list[tuple[float, float]]:
    """Interpolate two curves at each recorded position of either that lies within the range of both."""
    (x, _), (other_x, _) = one, other
    low, high = max(x.min(), other_x.min()), min(x.max(), other_x.max())
    places = [place for place in np.unique(np.concatenate([x, other_x])) if low - 1e-9 <= place <= high + 1e-9]
    return [(float(np.interp(place, *one)), float(np.interp(place, *other))) for place in places]
