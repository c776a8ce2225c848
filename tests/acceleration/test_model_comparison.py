"""Scores by example, and intervals of what is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from allennlp.data.data_loaders import SimpleDataLoader
from allennlp.evaluation import SimpleEvaluator
from allennlp.training.metrics import BooleanAccuracy
from scipy import stats

from elmo_mf.acceleration import (
    Comparison,
    EncoderSettings,
    Evaluation,
    Goal,
    LoadedModel,
    Loss,
    StockSettings,
    accelerated,
    evaluate,
    load_stock,
    open_archive,
    read_instances,
)
from elmo_mf.acceleration._example_scores import EXAMPLES, LOSS, Counters, goal_of, reset_states
from elmo_mf.acceleration.model_comparison import resolution_of
from elmo_mf.errors import InputError
from elmo_mf.records import Compression
from tests.acceleration.conftest import Archives
from tests.acceleration.models import TAGGER

HARSH = EncoderSettings(Compression(method="svd", rank=1, targets="all"), state="zero")


def _data(archive: Path) -> Path:
    return next((archive.parents[1] / "data").glob("dev*"))


def _evaluated_by_allennlp(loaded: LoadedModel, data: Path) -> dict[str, float]:
    """Score a model as `allennlp evaluate` does, with sentences one at a time."""
    loader = SimpleDataLoader(read_instances(loaded, data), batch_size=1, vocab=loaded.model.vocab)
    reset_states(loaded.model)
    loaded.model.get_metrics(reset=True)
    return dict(SimpleEvaluator()(loaded.model, loader))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["sst", "snli", "squad", TAGGER])
def test_scores_are_those_of_allennlp(task: str, archives: Archives) -> None:
    archive = archives(task)
    with open_archive(archive) as opened:
        loaded = load_stock(opened, StockSettings())
    evaluation, _ = evaluate(loaded.model, read_instances(loaded, _data(archive)))
    assert len(evaluation.counts) == len(read_instances(loaded, _data(archive)))
    expected = _evaluated_by_allennlp(loaded, _data(archive))
    for name, value in expected.items():
        assert evaluation.scores[name] == pytest.approx(value, abs=1e-6)


class _Model:
    """The parts of a model that `Counters` uses, with one metric."""

    def __init__(self, metric: BooleanAccuracy) -> None:
        self.metric = metric

    def modules(self) -> list[_Model]:
        return [self]

    def get_metrics(self, reset: bool = False) -> dict[str, float]:
        value = self.metric.get_metric(reset)
        return value if isinstance(value, dict) else {"accuracy": value}


def _accuracy(correct: np.ndarray) -> Evaluation:
    counts = np.stack([np.ones(len(correct)), correct, np.ones(len(correct)), np.zeros(len(correct))], axis=1)
    names = ("0 total_count", "0 correct_count", EXAMPLES, LOSS)
    return Evaluation({"accuracy": float(correct.mean())}, names, counts)


def test_the_interval_is_scipys() -> None:
    metric = BooleanAccuracy()
    metric._correct_count = metric._total_count = 0.0
    rng = np.random.default_rng(1)
    theirs, ours = rng.random(400) < 0.8, rng.random(400) < 0.75
    names = ("0 _total_count", "0 _correct_count", EXAMPLES, LOSS)
    evaluations = [Evaluation(e.scores, names, e.counts) for e in map(_accuracy, (theirs, ours))]
    loss = Comparison(evaluations[0], Counters(_Model(metric)), Goal("accuracy", True)).loss(evaluations[1])
    difference = 100 * (theirs.astype(float) - ours)
    expected = stats.bootstrap((difference,), np.mean, n_resamples=9999, method="percentile", rng=rng)
    assert loss.estimate == pytest.approx(difference.mean())
    interval = expected.confidence_interval
    assert (loss.low, loss.high) == pytest.approx((interval.low, interval.high), abs=0.26)  # an example is 0.25


@pytest.mark.slow
def test_f1_of_spans_is_resampled_exactly(archives: Archives) -> None:
    """The metric of a sample is what AllenNLP computes when the model reads the sample's examples."""
    archive = archives(TAGGER)
    with open_archive(archive) as opened:
        loaded = load_stock(opened, StockSettings())
    harsh = accelerated(loaded, HARSH)
    instances = read_instances(loaded, _data(archive))
    evaluation, counters = evaluate(harsh.model, instances)
    assert 0 < evaluation.scores["accuracy"] <= 1
    chosen = np.random.default_rng(0).integers(0, len(instances), len(instances))
    metrics = counters.metrics_of(evaluation.names, evaluation.counts[chosen].sum(axis=0))
    harsh.model.get_metrics(reset=True)
    expected, _ = evaluate(harsh.model, [instances[index] for index in chosen])
    for name, value in expected.scores.items():
        assert metrics[name] == pytest.approx(value, abs=1e-4), name


def test_what_examples_cannot_exclude() -> None:
    """Clopper and Pearson's upper bound for no event."""
    for examples in (1, 36, 1000):
        exact = stats.binomtest(0, examples).proportion_ci(method="exact").high
        assert resolution_of(examples) == pytest.approx(100 * exact)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.1, 0.4, "within"), (0.6, 0.9, "worse"), (0.2, 0.7, "undecided"), (0.5, 0.6, "undecided")],
)
def test_verdicts(low: float, high: float, verdict: str) -> None:
    assert Loss(0.3, low, high, 0.0).verdict(0.5) == verdict


def test_goals() -> None:
    known = ["accuracy", "loss"]
    assert goal_of(None, "+accuracy", known) == Goal("accuracy", True)
    assert goal_of(None, None, known) == Goal("loss", False)
    assert goal_of("-accuracy", None, known) == Goal("accuracy", False)
    assert Goal("loss", False).difference(1.0, 1.5) == 50
    with pytest.raises(InputError, match=r"^metric: found f2"):
        goal_of("f2", None, known)
