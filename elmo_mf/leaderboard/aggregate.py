"""Boards from records: one row per encoder, with means over seeds and differences to the dense encoder."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from elmo_mf.leaderboard._machines import machine_kind
from elmo_mf.leaderboard._margin import MARGIN
from elmo_mf.leaderboard._origin import Origin
from elmo_mf.leaderboard._row_verdicts import BoardScores, Trust, evaluate_rows
from elmo_mf.leaderboard._score_estimates import Scores
from elmo_mf.leaderboard._setting_names import setting_names
from elmo_mf.leaderboard._statistics import ENOUGH
from elmo_mf.leaderboard._verdicts import NOT_INFERIOR, VerdictName
from elmo_mf.progress import Advance, stage
from elmo_mf.records.compression import Compression
from elmo_mf.records.digest import digest
from elmo_mf.records.identity import EncoderIdentity, RunIdentity, Scoring
from elmo_mf.records.labels import encoder_names
from elmo_mf.records.outputs import Outputs
from elmo_mf.records.packed import select
from elmo_mf.records.record import BATCHES, PARTS, Batch, Part, Record, Size, Times

_NAN = float("nan")


@dataclass(frozen=True)
class Speed:
    """Medians over seeds of an encoder's times with batches of one size; nan where not recorded.

    Attributes:
        median: Median milliseconds per batch.
        p95: 95th percentile of the milliseconds per batch.
        speed_up: How many times as fast as this project's dense encoder: what compression gains.
        original: How many times as fast as AllenNLP's dense encoder or, of a language model, as `torch.nn.LSTM`: what
            this project's runtime gains too.
    """

    median: float
    p95: float
    speed_up: float
    original: float


SPEED_COLUMNS = tuple(
    f"{part}_{batch}_{field.name}" for part in PARTS for batch in BATCHES for field in fields(Speed)
)  # fmt: skip
"""Columns of `Board.frame` with the values of `Speed`, such as `encoder_1_speed_up`."""


@dataclass(frozen=True)
class Row:
    """One encoder of a board; numbers that were not recorded are nan.

    Attributes:
        key: Key of its identity.
        encoder: Its name, unique on the board.
        identity: How it was compressed and trained again.
        trained_again: Whether it was trained after compression, or is dense and fine-tuned for comparison.
        fine_tuned: Whether it is a language model that was trained again.
        seeds: Number of seeds, without those of collapsed runs.
        collapsed: Number of runs that collapsed, first attempts included; they are not averaged.
        examples: Number of test examples, or of their documents, that the interval of the difference is over; 0 where
            the outputs for each example are not known, so that it is over seeds alone.
        score: Mean of the primary metric.
        std: Standard deviation of the score over seeds.
        score_low: Lower end of the score's 95 % interval.
        score_high: Upper end of the score's 95 % interval.
        signed_score: The score, negated where lower scores are better.
        baseline: Name of the dense encoder that it is compared with, which was fine-tuned likewise if there is one.
        difference: Mean difference to that encoder with the same seed. Where three seeds or more were scored on the
            same kind of machine as it, these alone count.
        low: Lower end of the difference's 95 % interval.
        high: Upper end of the difference's 95 % interval.
        nats: How much higher its cross-entropy is than that encoder's, in nats an example; nan where the likelihoods
            of examples are not known.
        nats_low: Lower end of its 95 % interval.
        nats_high: Upper end of its 95 % interval.
        compressed: Whether it is compressed, by a method or by its precision.
        is_partial: Whether only some layers or directions are compressed, for comparison: it is not recommended.
        is_baseline: Whether it takes an encoder's place for comparison, such as one of shuffled weights.
        comparable: Whether it is compressed and its dense encoder was fine-tuned likewise.
        verdict: Whether it is better than dense, equivalent, worse, or undecided; empty where the board does not say,
            and where it is `mixed`.
        needs: The sample that would decide an undecided one.
        validation_gain: How much better than dense it is on validation data; nan where it is not compared.
        validation_change: Largest absolute value in the 95 % interval of this difference.
        not_inferior: Whether it is not worse than dense by the margin on validation data.
        recommended: Whether it is the fastest of those that are neither inferior on validation data nor judged worse or
            undecided.
        pareto_front: Whether it is on the Pareto front of score and multiply-adds.
        at_chance: Whether its score is that of a model that knows nothing.
        mixed: Whether it was scored on another kind of machine than its baseline, or on several.
        parameters: Parameters of the LSTMs.
        ratio: How many times smaller the LSTMs are than the dense ones.
        megabytes: Megabytes of the whole encoder, stored in its precision.
        multiply_adds: Multiply-adds of the whole encoder per token.
        activation_error: Relative error of the LSTM layers' outputs.
        speeds: Times by part and batch size.
    """

    key: str
    encoder: str
    identity: EncoderIdentity
    trained_again: bool
    fine_tuned: bool
    seeds: int
    collapsed: int
    examples: int
    score: float
    std: float
    score_low: float
    score_high: float
    signed_score: float
    baseline: str
    difference: float
    low: float
    high: float
    nats: float
    nats_low: float
    nats_high: float
    compressed: bool
    is_partial: bool
    is_baseline: bool
    comparable: bool
    verdict: VerdictName | Literal[""]
    needs: str
    validation_gain: float
    validation_change: float
    not_inferior: bool
    recommended: bool
    pareto_front: bool
    at_chance: bool
    mixed: bool
    parameters: float
    ratio: float
    megabytes: float
    multiply_adds: float
    activation_error: float
    speeds: dict[tuple[Part, Batch], Speed]

    @property
    def compression(self) -> Compression | None:
        """Compression of the encoder; None for a dense one."""
        return self.identity.compression

    @property
    def can_be_taken(self) -> bool:
        """Whether both validation data and the verdict exclude that it is worse by the margin."""
        whole = self.comparable and not self.is_partial
        return whole and self.not_inferior and self.verdict in NOT_INFERIOR

    @property
    def method(self) -> str:
        """Name of the method, or the precision of one that has no other, or `baseline` or `dense`."""
        if self.is_baseline:
            return "baseline"
        return self.identity.precision or "dense" if self.compression is None else self.compression.method


@dataclass(frozen=True)
class Board:
    """One table: a task in one setting, which is the same data, ELMo and model config.

    Attributes:
        frame: A row per encoder, best score first: the fields of `Row`, and `SPEED_COLUMNS` for its speeds.
        encoders: Encoders by key.
        records: The records behind the board.
        first: The first record.
        keys: For each record, the key of its encoder.
        seeds: For each record, its seed.
        origin: ELMos, data, machines and versions behind the records.
        scores: Scores on the scored split.
        trust: Whether the board gives verdicts, and what its baselines say.
        margin: The largest loss treated as negligible, in points or in the unit of the metric.
        setting: Number of the board among those of its task.
        setting_name: What distinguishes the board's setting from others of its task; empty where there is one.
    """

    frame: pd.DataFrame
    encoders: dict[str, EncoderIdentity]
    records: Sequence[Record]
    first: Record
    keys: list[str]
    seeds: list[int]
    origin: Origin
    scores: Scores
    trust: Trust
    margin: float
    setting: int = 1
    setting_name: str = ""

    @cached_property
    def rows(self) -> list[Row]:
        """The encoders, best score first."""
        return [_row(values, self.encoders[values["key"]]) for values in self.frame.to_dict("records")]

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.first.run.task

    @property
    def elmo(self) -> str:
        """SHA-256 of the ELMo's files, the same for all tasks; empty where there is none."""
        return _elmo(self.first)

    @property
    def scoring(self) -> Scoring:
        """Scoring of the task."""
        return self.first.run.scoring

    @property
    def trains(self) -> bool:
        """Whether a task's model is trained, so that another seed would give another score."""
        return self.first.run.trains_model

    @property
    def chance(self) -> float:
        """The score of a model that knows nothing."""
        return self.first.chance

    @property
    def has_recommendation(self) -> bool:
        """Whether a compressed encoder is recommended."""
        return any(row.recommended for row in self.rows)

    @property
    def name(self) -> str:
        """Unique name, for files and links."""
        return self.task if self.setting == 1 else f"{self.task}-{self.setting}"

    @property
    def is_demo(self) -> bool:
        """Whether the data are only a demonstration."""
        return self.first.data == "demo"

    @property
    def title(self) -> str:
        """Title for readers, which says where the data are only a demonstration."""
        title = f"DEMO: {self.first.task.title}" if self.is_demo else self.first.task.title
        return f"{title}; {self.setting_name}" if self.setting_name else title


def _row(values: dict[Any, Any], identity: EncoderIdentity) -> Row:
    speeds = {
        (part, batch): Speed(*(float(values[f"{part}_{batch}_{field.name}"]) for field in fields(Speed)))
        for part in PARTS
        for batch in BATCHES
    }
    known = {field.name: values[field.name] for field in fields(Row) if field.name in values}
    return Row(**known, identity=identity, speeds=speeds)


ReadOutputs = Callable[[Record], Outputs | None]
"""Function that returns the outputs of a record for each example, where they are known."""


def boards(records: Sequence[Record], outputs: ReadOutputs = lambda _: None, margin: float = MARGIN) -> list[Board]:
    """Build the boards of some records; each record is read once.

    Boards with a recommended encoder come first, and those without verdicts last; among equals, those of ELMo's tasks.
    Within a task, those of the ELMo with the most records come first.

    Baselines without views are trained. The boards of a task's other views show them too, and the view `retrained` has
    no board of its own if it consists of them alone. Baselines without an ELMo are on the boards of every ELMo.

    Args:
        records: The records.
        outputs: Returns the outputs of a record. By default there are none, and intervals are over seeds alone.
        margin: The largest loss treated as negligible: in points, or for perplexity in its own unit. Defaults to 1.

    Returns:
        The boards.

    Examples:
        >>> from pathlib import Path
        >>> from elmo_mf.records import read_record
        >>> files = sorted(Path("leaderboard/records").glob("sst-swapped-*.json"))
        >>> [board] = boards([read_record(file) for file in files])
        >>> board.task, board.scoring.primary
        ('sst', 'accuracy')
        >>> [row.encoder for row in board.rows if row.is_baseline]
        ['shuffled weights']
    """
    with stage("tables", 100, "%") as advance:  # half of them for what is read
        built = list(_built(records, outputs, margin, advance))
    return sorted(built, key=lambda board: (not board.has_recommendation, not board.trust.decides))


def _built(records: Sequence[Record], outputs: ReadOutputs, margin: float, advance: Advance) -> Iterator[Board]:
    """Yield the boards task by task."""

    def read(record: Record) -> Outputs | None:
        advance(50 / len(records))
        return outputs(record)

    tasks: dict[tuple[bool, str], dict[tuple[int, str], _Setting]] = {}
    known = _named(_settings(records, read), _training_texts(records))
    count = Counter(_elmo(setting.first) for setting in known for _ in setting.places)
    for setting in known:
        run = setting.first.run
        tasks.setdefault((run.is_language_model, run.task), {})[-count[_elmo(setting.first)], _name(run)] = setting
    for _, settings in sorted(tasks.items()):
        yield from _boards_of_task([settings[setting] for setting in sorted(settings)], records, margin)
        advance(50 / len(tasks))


def _settings(records: Sequence[Record], outputs: ReadOutputs) -> list[_Setting]:
    """Collect the values of each board; baselines that several boards show come last."""
    settings: dict[str, _Setting] = {}
    baselines: dict[str, list[tuple[int, Record, Outputs | None]]] = {}
    for place, record in enumerate(records):
        name = _name(record.run)
        if not record.run.has_views:
            baselines.setdefault(name, []).append((place, record, outputs(record)))
        else:
            settings.setdefault(name, _Setting(record)).add(place, record, outputs(record))
    compared = {name: _compared(setting.first.run) for name, setting in settings.items()}
    for name in sorted(baselines.keys() - {one for names in compared.values() for one in names}):
        settings[name], compared[name] = _Setting(baselines[name][0][1]), (name,)
    for name, setting in settings.items():
        for baseline in itertools.chain(*(baselines.get(one, []) for one in compared[name])):
            setting.add(*baseline)
    return list(settings.values())


def _named(settings: list[_Setting], texts: Mapping[str, str]) -> list[_Setting]:
    """Name the encoders of all boards; a compressed ELMo has the same name on all of them, which no other has."""
    elmos: dict[str, list[_Setting]] = {}
    for setting in settings:
        elmo = setting.first.run.elmo
        elmos.setdefault(_name(setting.first.run) if elmo is None else elmo.weights, []).append(setting)
    for alike in elmos.values():
        compressed = [one for setting in alike for one in setting.encoders.values() if one.compression is not None]
        names = encoder_names(compressed, texts)
        for setting in alike:
            setting.names = encoder_names(one for one in setting.encoders.values() if one.compression is None) | names
    return settings


def _training_texts(records: Sequence[Record]) -> dict[str, str]:
    """Name the files that tasks train on, by their SHA-256, such as `wikitext2 train`."""
    tasks: dict[str, set[str]] = {}
    for record in records:
        tasks.setdefault(record.run.data.train.sha256, set()).add(record.run.task)
    return {sha256: f"{min(names, key=lambda name: (len(name), name))} train" for sha256, names in tasks.items()}


def _compared(run: RunIdentity) -> tuple[str, ...]:
    """Return the names of the settings of the trained baselines that a board shows: with its ELMo, and without one."""
    trained = run.retrained()
    return _name(trained), _name(trained.without_elmo())


def _elmo(record: Record) -> str:
    files = record.run.elmo
    return "" if files is None else f"{files.options} {files.weights}"  # a language model's has a softmax, too


def _name(run: RunIdentity) -> str:
    return json.dumps(run.setting(), sort_keys=True)


class _Setting:
    """Values collected from the records of one board."""

    def __init__(self, first: Record) -> None:
        self.first = first
        self.places: list[int] = []
        self.rows: list[dict[str, Any]] = []
        self.encoders: dict[str, EncoderIdentity] = {}
        self.names: dict[str, str] = {}
        self.origin = Origin()
        self.scored, self.validation = Scores(), Scores()

    def add(self, place: int, record: Record, outputs: Outputs | None) -> None:
        encoder, scoring = record.run.encoder, record.run.scoring
        key, seed = encoder.key, record.run.seed
        self.places.append(place)
        self.rows.append(_columns(record, key))
        self.encoders[key] = encoder
        self.origin.add(record)
        on_validation = record.score if scoring.split == "validation" else record.validation.get(scoring.primary, _NAN)
        for scores, split, mean in (
            (self.scored, scoring.split, record.score),
            (self.validation, "validation", on_validation),
        ):
            scores.means[key, seed] = mean
            if not record.collapsed:
                scores.learned[key, seed] = None
            if outputs is not None and split in outputs.splits:
                scores.outputs[key, seed] = outputs.splits[split]


def _boards_of_task(settings: list[_Setting], records: Sequence[Record], margin: float) -> list[Board]:
    names = setting_names([setting.first for setting in settings])
    return [
        replace(_board(setting, select(records, setting.places), margin), setting=number, setting_name=name)
        for number, (setting, name) in enumerate(zip(settings, names, strict=True), start=1)
    ]


def _board(setting: _Setting, records: Sequence[Record], margin: float) -> Board:
    runs = pd.DataFrame(setting.rows)
    keys, seeds = list(runs["key"]), [int(seed) for seed in runs["seed"]]
    runs["encoder"] = runs["key"].map(setting.names)
    runs = _with_differences(runs.sort_values(["encoder", "seed"]))
    rows = _marked(_aggregated(runs), setting.first)
    trust = evaluate_rows(rows, runs, BoardScores(setting.first, setting.scored, setting.validation, margin))
    frame = _sorted(rows)
    return Board(
        frame, setting.encoders, records, setting.first, keys, seeds, setting.origin, setting.scored, trust, margin
    )  # fmt: skip


def _with_differences(runs: pd.DataFrame) -> pd.DataFrame:
    """Add the difference of each run to the dense run with the same seed.

    If enough seeds have a dense run on the same kind of machine, the differences of all others are nan.
    """
    dense = runs[~runs["compressed"] & ~runs["is_baseline"]]
    # encoders that were trained again had more training than the dense one; compare them with dense ones tuned likewise
    runs["baseline_tuning"] = runs["tuning"].where(runs["tuning"].isin(dense["tuning"]), "")
    known = dense.set_index(["tuning", "seed"])[["score", "machine"]].T.to_dict("list")
    others = [known.get(pair, [_NAN, ""]) for pair in zip(runs["baseline_tuning"], runs["seed"], strict=True)]
    runs["difference"] = runs["score"] - [score for score, _ in others]
    alike = runs["machine"] == [machine for _, machine in others]
    enough = (alike & runs["difference"].notna()).groupby(runs["encoder"]).transform("sum") >= ENOUGH
    runs.loc[~alike & enough, "difference"] = _NAN
    runs["mixed"] = runs["difference"].notna() & ~alike
    names = dict(zip(dense["tuning"], dense["encoder"], strict=True))
    runs["baseline"] = [names.get(tuning, "dense") for tuning in runs["baseline_tuning"]]
    return runs


_MEDIANS = ("parameters", "ratio", "megabytes", "multiply_adds", "activation_error", *SPEED_COLUMNS)
_SHARED = (
    "key",
    "compressed",
    "is_partial",
    "is_baseline",
    "baseline_of",
    "trained_again",
    "tuning",
    "baseline",
    "baseline_tuning",
)


def _aggregated(runs: pd.DataFrame) -> pd.DataFrame:
    """Combine the seeds of each encoder."""
    groups = runs.groupby("encoder", sort=True)
    rows = groups[list(_MEDIANS)].median().join(groups[list(_SHARED)].first())
    rows["score"], rows["std"] = groups["score"].mean(), groups["score"].std(ddof=1)
    rows["difference"], rows["seeds"] = groups["difference"].mean(), groups["score"].count()
    rows["collapsed"] = groups["collapsed"].sum()
    rows["fine_tuned"] = rows["tuning"] != ""
    rows["mixed"] = groups["mixed"].any() | (groups["machine"].nunique() > 1)
    return rows


def _marked(rows: pd.DataFrame, first: Record) -> pd.DataFrame:
    """Add marks that follow from the numbers of each encoder alone, and from costs."""
    higher, chance = first.run.scoring.higher_is_better, first.chance
    examples = first.examples.of(first.run.scoring.split) or 1
    most = chance + 2 * np.sqrt(chance * (1 - chance) / examples) if higher else chance
    rows["at_chance"] = (rows["score"] <= most) if higher else (rows["score"] >= most)
    rows["comparable"] = rows["compressed"] & (rows["baseline_tuning"] == rows["tuning"])
    rows["signed_score"] = rows["score"] if higher else -rows["score"]
    rows["pareto_front"] = pareto_front(rows["signed_score"], rows["multiply_adds"].where(~rows["is_baseline"]))
    rows["pareto_front"] &= ~rows["is_baseline"] & rows["score"].notna()
    if first.run.is_language_model:
        _split_speed_ups(rows)
    return rows


def _split_speed_ups(rows: pd.DataFrame) -> None:
    """Convert a language model's speed-ups, recorded relative to `torch.nn.LSTM`, to those over its dense encoder."""
    dense = rows[~rows["compressed"] & ~rows["is_baseline"] & ~rows["fine_tuned"]]
    for part in PARTS:
        for batch in BATCHES:
            recorded = rows[f"{part}_{batch}_speed_up"].copy()
            dense_speed_up = float(dense[f"{part}_{batch}_speed_up"].iloc[0]) if len(dense) else _NAN
            rows[f"{part}_{batch}_original"], rows[f"{part}_{batch}_speed_up"] = recorded, recorded / dense_speed_up


def _sorted(rows: pd.DataFrame) -> pd.DataFrame:
    """Sort by score, best first, with the baselines below."""
    rows = rows.drop(columns=["tuning", "baseline_tuning", "baseline_of"]).reset_index()
    order = ["is_baseline", "signed_score", "parameters", "encoder"]
    return rows.sort_values(order, ascending=[True, False, True, True], kind="stable").reset_index(drop=True)


def pareto_front(signed_score: pd.Series, cost: pd.Series) -> pd.Series:
    """Find the Pareto front: no encoder is as good at a lower cost, or better at the same cost.

    Args:
        signed_score: Score of each encoder, higher is better.
        cost: Cost of each encoder.

    Returns:
        Whether each encoder is on the front; True where its score or its cost is nan.
    """
    good, price = signed_score.to_numpy(float), cost.to_numpy(float)
    known = ~np.isnan(good) & ~np.isnan(price)
    order = np.argsort(price[known], kind="stable")
    prices = price[known][order]
    best = np.concatenate([[-np.inf], np.maximum.accumulate(good[known][order])])  # best[n]: of the n cheapest
    cheaper, as_cheap = (np.searchsorted(prices, price, side) for side in ("left", "right"))
    dominated = known & ((cheaper > 0) & (best[cheaper] >= good) | (best[as_cheap] > good))
    return pd.Series(~dominated, index=signed_score.index)


def _columns(record: Record, key: str) -> dict[str, Any]:
    """Return the values of a record that are aggregated, by column."""
    run, error = record.run, record.activation_error
    columns = {
        "key": key,
        "compressed": run.baseline is None and (run.compression is not None or run.precision is not None),
        "is_partial": run.compression is not None and not run.compression.is_whole,
        "is_baseline": run.baseline is not None,
        "baseline_of": run.baseline or "",
        "tuning": "" if run.tuning is None else digest(run.tuning.to_dict()),
        "trained_again": run.trained_again,
        "seed": run.seed,
        "machine": machine_kind(record.machine),
        "score": _NAN if record.collapsed else record.score,
        "collapsed": record.collapsed_attempts + record.collapsed,
        "activation_error": _NAN if error is None else error.all,
    } | _sizes(record.size)
    for part in PARTS:
        for batch in BATCHES:
            times = None if record.latency is None else record.latency.of(part)
            speed = Speed(_NAN, _NAN, _NAN, _NAN) if times is None else _speed(times[batch])
            columns |= {f"{part}_{batch}_{field.name}": getattr(speed, field.name) for field in fields(Speed)}
    return columns


def _sizes(size: Size | None) -> dict[str, float]:
    """Return the columns of an encoder's size; 0 where there is no encoder."""
    if size is None:
        return {"parameters": 0, "ratio": _NAN, "megabytes": 0, "multiply_adds": 0}
    return {
        "parameters": size.lstm_parameters,
        "ratio": size.lstm_ratio,
        "megabytes": size.encoder_bytes / 1e6,
        "multiply_adds": size.multiply_adds,
    }


def _speed(times: Times) -> Speed:
    over_allennlp = _NAN if times.allennlp_speed_up is None else times.allennlp_speed_up
    return Speed(times.median_ms, times.p95_ms, times.speed_up, over_allennlp)
