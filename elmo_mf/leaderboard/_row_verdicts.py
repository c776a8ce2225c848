"""Intervals, verdicts and the headline's choice for the rows of a board."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from elmo_mf.leaderboard._paired import NAN, Components, components_of_seeds
from elmo_mf.leaderboard._score_estimates import Run, Scores
from elmo_mf.leaderboard._statistics import Estimate, estimates
from elmo_mf.leaderboard._units import Unit
from elmo_mf.leaderboard._verdicts import NOT_INFERIOR, verdicts
from elmo_mf.records.identity import Scoring
from elmo_mf.records.record import BATCHES, Record


@dataclass(frozen=True)
class Trust:
    """Whether a board's verdicts can be trusted.

    Attributes:
        decides: Whether the board gives verdicts.
        remark: Remark on its baselines, for the first line.
        recommends: Whether a board that gives verdicts also recommends an encoder.
    """

    decides: bool
    remark: str
    recommends: bool = True


@dataclass(frozen=True)
class BoardScores:
    """Scores that intervals and verdicts are computed from.

    Attributes:
        first: The first record.
        scored: Scores on the scored split.
        validation: Scores on the validation split.
        margin: The largest loss treated as negligible, in the unit of the board.
    """

    first: Record
    scored: Scores
    validation: Scores
    margin: float

    @property
    def sign(self) -> int:
        """1 where higher scores are better, -1 where lower ones are."""
        return 1 if self.first.run.scoring.higher_is_better else -1

    @property
    def recorded_margin(self) -> float:
        """The margin in the unit of the recorded scores."""
        return self.margin / Unit.of(self.first.run.scoring).factor


def evaluate_rows(rows: pd.DataFrame, runs: pd.DataFrame, scores: BoardScores) -> Trust:
    """Add intervals, verdicts and the recommended encoder to the rows of a board.

    Args:
        rows: A row per encoder, with its name as index.
        runs: A row per run.
        scores: Scores of the runs.
    """
    grouped = {str(name): group for name, group in runs.groupby("encoder")}
    known_runs = {str(name): _known(group) for name, group in grouped.items()}
    _add_intervals(rows, {name: scores.scored.components(pairs) for name, pairs in known_runs.items()}, "score_")
    pairs = _pairs(rows, grouped)
    differences = {name: scores.scored.components(*both) for name, both in pairs.items()}
    rows["examples"] = [one.units if one else 0 for one in (differences.get(str(name)) for name in rows.index)]
    known = _add_intervals(rows, differences, "")
    _add_intervals(rows, {name: scores.scored.nats(*both) for name, both in pairs.items()}, "nats_")

    trust = _trust(rows, pairs, scores)
    _add_verdicts(rows, known, scores, trust.decides)
    _choose(rows, pairs, scores)
    if not (trust.decides and trust.recommends):
        rows["recommended"] = False
    return trust


def _known(group: pd.DataFrame) -> list[Run]:
    learned = group[group["score"].notna()]
    return list(zip(learned["key"], learned["seed"], strict=True))


def _pairs(rows: pd.DataFrame, grouped: dict[str, pd.DataFrame]) -> dict[str, tuple[list[Run], list[Run]]]:
    """Return the runs of each encoder that are compared, and what each is compared with."""
    dense = dict(zip(rows.index, rows["key"], strict=True))
    pairs = {}
    for name, row in rows.iterrows():
        group = grouped[str(name)]
        if not (row["compressed"] or row["is_baseline"]) or row["baseline"] not in dense:
            continue
        compared = group[group["difference"].notna()]
        seeds = list(compared["seed"])
        runs = [(row["key"], seed) for seed in seeds]
        if row["baseline_of"] == "words" and len(group) == 1:  # needs no seed: it is compared with dense of each
            others = _known(grouped[row["baseline"]])
            pairs[str(name)] = [(row["key"], seed) for seed in group["seed"]] * len(others), others
        else:
            pairs[str(name)] = runs, [(dense[row["baseline"]], seed) for seed in seeds]
    return pairs


def _add_intervals(rows: pd.DataFrame, parts: dict[str, Components | None], prefix: str) -> dict[str, Estimate]:
    """Add the ends of the 95 % intervals, and return the estimates behind them.

    Variances of baselines are shrunk among themselves: they say nothing about how much encoders vary between seeds.
    """
    known: dict[str, Estimate] = {}
    for is_baseline in (False, True):
        names = rows.index[rows["is_baseline"] == is_baseline]
        present = {name: one for name, one in parts.items() if one is not None and name in names}
        known |= zip(present, estimates(list(present.values())), strict=True)
    for column, sign in (("low", -1), ("high", 1)):
        ends = {name: one.mean + sign * one.half_width() for name, one in known.items()}
        rows[prefix + column] = [ends.get(str(name), NAN) for name in rows.index]
    means = {name: one.mean for name, one in known.items()}
    if prefix == "nats_":
        rows["nats"] = [means.get(str(name), NAN) for name in rows.index]
    elif not prefix:
        rows["difference"] = [means.get(str(name), old) for name, old in rows["difference"].items()]
    return known


def _add_verdicts(rows: pd.DataFrame, known: dict[str, Estimate], scores: BoardScores, decides: bool) -> None:
    rows["verdict"], rows["needs"] = "", ""
    judged = rows["comparable"] & ~rows["mixed"]  # an interval does not include what another machine changes
    names = [name for name in known if judged[name]] if decides else []
    improvements = [as_improvement(known[name], scores) for name in names]
    for name, verdict in zip(names, verdicts(improvements, scores.recorded_margin), strict=True):
        rows.at[name, "verdict"], rows.at[name, "needs"] = verdict.name, verdict.needs


def as_improvement(one: Estimate, scores: BoardScores) -> Estimate:
    """Orient an estimate so that more is better; one seed of a trained model says nothing about other seeds."""
    if one.parts.seeds == 1 and scores.first.epochs:
        one = estimates([components_of_seeds(np.array([one.mean]))])[0]
    return replace(one, parts=replace(one.parts, mean=scores.sign * one.mean))


def _choose(rows: pd.DataFrame, pairs: dict[str, tuple[list[Run], list[Run]]], scores: BoardScores) -> None:
    """Mark encoders that are not inferior to dense on validation data, and the fastest one that no verdict rules out.

    Verdicts are on the scored split, so they may rule encoders out, but no score decides between the remaining ones.
    """
    parts = {name: scores.validation.components(*both) for name, both in pairs.items() if both[0]}
    present = {name: one for name, one in parts.items() if one is not None and rows.at[name, "comparable"]}
    improved = {
        name: as_improvement(one, scores) for name, one in zip(present, estimates(list(present.values())), strict=True)
    }
    changes = {name: (one.mean, abs(one.mean) + one.half_width()) for name, one in improved.items()}
    for place, column in enumerate(("validation_gain", "validation_change")):
        rows[column] = [changes.get(str(name), (NAN, NAN))[place] for name in rows.index]
    judged = [name for name in improved if not rows.at[name, "mixed"]]
    given = verdicts([improved[name] for name in judged], scores.recorded_margin)
    good = {name for name, verdict in zip(judged, given, strict=True) if verdict.is_not_inferior}
    rows["not_inferior"] = [str(name) in good for name in rows.index]
    can_be_taken = rows["not_inferior"] & rows["verdict"].isin(NOT_INFERIOR) & ~rows["is_partial"]
    times = rows[[f"encoder_{batch}_median" for batch in BATCHES]].prod(axis=1, skipna=False)
    cost = times if times[can_be_taken].notna().any() else rows["multiply_adds"]
    fastest = cost[can_be_taken].dropna()
    rows["recommended"] = rows.index == (fastest.idxmin() if len(fastest) else "")


_MANY_TIMES = 1000
_TIMES = 10  # half widths between dense and an encoder of shuffled weights, for a table that can tell encoders apart


def _trust(rows: pd.DataFrame, pairs: dict[str, tuple[list[Run], list[Run]]], scores: BoardScores) -> Trust:
    """Compare dense with the baselines."""
    baselines = rows[rows["is_baseline"] & (rows["baseline_of"] != "smaller")]  # a smaller ELMo may well be as good
    dense = rows[~rows["compressed"] & ~rows["is_baseline"] & ~rows["fine_tuned"]]
    if len(dense) and dense["at_chance"].iloc[0]:
        return Trust(False, "The dense encoder itself is at chance: this table shows nothing.")
    if not len(baselines):
        if scores.first.run.is_language_model:  # compared with chance, a unigram model
            return Trust(True, "")
        return Trust(True, "Baselines were not run, so no encoder is recommended.", recommends=False)
    if not len(dense):
        return Trust(True, "")
    improvements = scores.sign * baselines["difference"]
    beaten = improvements + ((baselines["high"] - baselines["low"]) / 2).fillna(0) < 0
    lone = _has_a_model_of_its_own(baselines, scores) & (baselines["seeds"] == 1)
    unbeaten = baselines[~beaten | lone]
    if len(unbeaten):
        return Trust(False, _not_beaten(unbeaten, lone, float(dense["score"].iloc[0]), pairs, scores))
    shuffled = baselines[baselines["baseline_of"] == "shuffled"]
    if not len(shuffled):
        trust = Trust(True, "Dense beats every baseline. No encoder of shuffled weights was run.")
    else:
        trust = _resolution(rows, float(-scores.sign * shuffled["difference"].iloc[0]), scores.first.run.scoring)
    run = set(baselines["baseline_of"])
    if trust.decides and "words" in run and "no-encoder" not in run:
        remark = f"{trust.remark} No model without an ELMo was run, so no encoder is recommended."
        return Trust(True, remark, recommends=False)
    return trust


def _not_beaten(
    unbeaten: pd.DataFrame,
    lone: pd.Series,
    dense: float,
    pairs: dict[str, tuple[list[Run], list[Run]]],
    scores: BoardScores,
) -> str:
    """Name the baselines that dense does not beat, with the scores of the seeds that both have.

    Args:
        unbeaten: The baselines.
        lone: Whether each has one seed of a model of its own.
        dense: Score of the dense encoder with all its seeds.
        pairs: For each encoder, the runs that are compared and those that they are compared with.
        scores: What was scored.
    """
    alone = {str(name) for name in lone.index[lone]}
    text, means, entries = Unit.of(scores.first.run.scoring).text, scores.scored.means, []
    for name, score in unbeaten["score"].items():
        _, others = pairs.get(str(name), ([], []))
        same = text(float(np.mean([means[run] for run in others])) if others else dense)
        seeds = " with its only seed" if name in alone else "" if same == text(dense) else " with the same seeds"
        entries.append(f"{name} ({text(score)}{seeds}{'' if same == text(dense) else f', dense {same}'})")
    subject = "dense" if all("dense" in entry for entry in entries) else f"dense ({text(dense)})"
    why = "; one seed does not show how much it varies" if alone else ""
    return f"No verdicts: {subject} is not shown to beat {', '.join(entries)}{why}."


def _has_a_model_of_its_own(baselines: pd.DataFrame, scores: BoardScores) -> pd.Series:
    """Return which baselines trained a model of their own, whose score varies independently of dense's."""
    kinds, trains = baselines["baseline_of"], bool(scores.first.epochs)
    retrained = scores.first.run.view == "retrained"
    return trains & ((kinds == "no-encoder") | (retrained & (kinds != "words")))


def _resolution(rows: pd.DataFrame, distance: float, scoring: Scoring) -> Trust:
    """Compare the distance between dense and shuffled weights with the widths of the intervals.

    Perplexities are compared in nats, because a difference between a small and a huge one says nothing.
    """
    unit, compared = Unit.of(scoring), rows[rows["comparable"]]
    half_widths, units = (compared["high"] - compared["low"]) / 2, unit.plural
    if scoring.primary == "perplexity":
        unit = Unit.of_loss(scoring)
        dense = float(rows.loc[~rows["compressed"] & ~rows["is_baseline"] & ~rows["fine_tuned"], "score"].iloc[0])
        distance, half_widths, units = math.log1p(distance / dense), half_widths / compared["score"], unit.name
    half_width = float(half_widths.median())
    reach = f"{unit.text(distance)} {units} better than an encoder of shuffled weights"
    if math.isnan(half_width):
        return Trust(True, f"Dense beats every baseline; it is {reach}.")
    wide = f"the intervals' half width of {unit.text(half_width, 1)}"
    if distance < _TIMES * half_width:
        return Trust(False, f"No verdicts: dense is only {reach}, less than ten times {wide}.")
    times = f"{distance / half_width:.0f}" if distance < _MANY_TIMES * half_width else f"more than {_MANY_TIMES:,}"
    return Trust(True, f"Dense beats every baseline; it is {reach}, {times} times {wide}.")
