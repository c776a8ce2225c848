"""Score a model example by example, so that the scores of two models can be compared with an interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from allennlp.data import Batch, Instance
from allennlp.models import Model
from allennlp.modules.elmo import Elmo
from allennlp.training.metrics import Metric
from torch import Tensor

from elmo_mf.acceleration._stock import ENCODER
from elmo_mf.bilm.weights import Array
from elmo_mf.errors import InputError, one_line, one_of
from elmo_mf.plugin.token_embedder import ElmoModule
from elmo_mf.progress import track

LOSS, EXAMPLES = "loss", "examples"
_SAME = 1e-4  # difference between a metric and the one from sums that counts as rounding
Counts = dict[str, float]


@dataclass(frozen=True)
class Goal:
    """The metric that is compared.

    Attributes:
        name: Its name among a model's metrics, or "loss".
        higher: Whether higher values are better.
    """

    name: str
    higher: bool

    def difference(self, better: Any, worse: Any) -> Any:
        """Return by how much a score is better than another, in hundredths of the metric, which are points."""
        return (better - worse) * (100 if self.higher else -100)


@dataclass(frozen=True)
class Evaluation:
    """Result of one model on some examples.

    Attributes:
        scores: All metrics and the mean loss.
        names: Names of the counters from which the metrics are computed.
        counts: What each example adds to each counter, (examples, counters).
    """

    scores: dict[str, float]
    names: tuple[str, ...]
    counts: Array


class Counters:
    """The counters inside the metrics of a model.

    Every metric of AllenNLP that can be computed in batches adds up what its examples contribute: correct answers, true
    positives by label, sums of scores. The metric of a sample of examples is therefore that of a sum of their counts.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._metrics = list(_metrics(model))
        self._tensors: dict[tuple[int, str], Tensor] = {}  # for their types; a reset may remove them

    def clear(self) -> None:
        """Begin with no examples."""
        self._model.get_metrics(reset=True)

    def read(self) -> Counts:
        """Return the current values by counter."""
        counts: Counts = {}
        for number, metric in enumerate(self._metrics):
            for name, value in vars(metric).items():
                if isinstance(value, Tensor):
                    self._tensors[number, name] = value
                    counts |= {f"{number} {name} {k}": float(one) for k, one in enumerate(value.flatten())}
                elif isinstance(value, dict):
                    counts |= {f"{number} {name} {key}": value[key] for key in value if _is_number(value[key])}
                elif _is_number(value):
                    counts[f"{number} {name}"] = float(value)
        return counts

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the examples so far."""
        return {name: float(value) for name, value in self._model.get_metrics().items() if _is_number(value)}

    def metrics_of(self, names: Sequence[str], values: Array) -> dict[str, float]:
        """Return the metrics and the loss for given values of the counters; the model's own are overwritten.

        Args:
            names: Names of counters, see `Evaluation`.
            values: Their values, (counters,).
        """
        self.clear()
        sums = dict(zip(names, values.tolist(), strict=True))
        loss = sums.pop(LOSS, 0) / sums.pop(EXAMPLES)
        tensors: dict[tuple[int, str], Tensor] = {}
        for full, value in sums.items():
            number, name, *key = full.split(" ", 2)
            attributes = vars(self._metrics[int(number)])
            place = int(number), name
            if place in self._tensors:
                tensors.setdefault(place, torch.zeros_like(self._tensors[place])).view(-1)[int(key[0])] = value
            elif key:
                attributes[name][key[0]] = value
            else:
                attributes[name] = value
        for (index, name), tensor in tensors.items():
            vars(self._metrics[index])[name] = tensor
        return self.metrics() | {LOSS: loss}


def evaluate(model: Model, instances: Sequence[Instance], name: str = "a model") -> tuple[Evaluation, Counters]:
    """Score a model on examples one at a time, beginning with fresh states of its encoders.

    Args:
        model: A model in evaluation mode.
        instances: The examples.
        name: Name of the model in the progress. Defaults to "a model".

    Raises:
        InputError: The model cannot read the examples, or its metrics are not sums over examples.
    """
    reset_states(model)
    counters = Counters(model)
    counters.clear()
    before, added = counters.read(), list[Counts]()
    for instance in track(instances, f"scoring {name}", "examples"):
        loss = _loss(model, instance)
        after = counters.read()
        changed = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
        added.append(changed | {LOSS: loss, EXAMPLES: 1})
        before = after
    names = tuple(sorted(set[str]().union(*added)))
    counts = np.array([[one.get(name, 0.0) for name in names] for one in added])
    scores, rebuilt = counters.metrics(), counters.metrics_of(names, counts.sum(axis=0))
    for name, score in scores.items():
        if not abs(score - rebuilt[name]) <= _SAME:
            raise InputError("metrics", f"found {name}, expected sums over examples, as a paired comparison requires")
    return Evaluation(rebuilt, names, counts), counters


def reset_states(model: torch.nn.Module) -> None:
    """Let every encoder of a model start from zeros."""
    for module in model.modules():
        if isinstance(module, Elmo):
            encoder = getattr(module, ENCODER)
            if isinstance(encoder, ElmoModule):
                encoder.bilm.reset_state()
            else:
                encoder._elmo_lstm.reset_states()


def goal_of(wanted: str | None, validation_metric: Any, known: Sequence[str]) -> Goal:
    """Find the metric to compare.

    Args:
        wanted: Its name, with a minus in front where lower is better; None for the one that selected the model.
        validation_metric: The trainer's, as in the config.
        known: Names of the model's metrics.

    Raises:
        InputError: The model has no such metric.
    """
    name = wanted or (validation_metric if isinstance(validation_metric, str) else f"-{LOSS}")
    bare = name.lstrip("+-")
    if bare not in known:
        raise InputError("metric", f"found {bare}, {one_of(bare, sorted(known))}")
    return Goal(bare, not name.startswith("-") and bare != LOSS)


def _loss(model: Model, instance: Instance) -> float:
    batch = Batch([instance])
    try:
        batch.index_instances(model.vocab)
        with torch.no_grad():
            output = model(**batch.as_tensor_dict())
    except InputError:
        raise
    except Exception as error:  # what any model may raise
        found = f"found an example that the model cannot read ({one_line(error)})"
        raise InputError("data", f"{found}, expected labelled data") from None
    if output.get(LOSS) is None:
        raise InputError("data", "found an example without a label, expected labelled data")
    return float(output[LOSS])


def _metrics(model: Model) -> Iterator[Metric]:
    seen: set[int] = set()
    for module in model.modules():
        for value in vars(module).values():
            for metric in _inside(value):
                if id(metric) not in seen:
                    seen.add(id(metric))
                    yield metric


def _inside(value: Any) -> Iterator[Metric]:
    if isinstance(value, Metric):
        yield value
        yield from _inside(list(vars(value).values()))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _inside(inner)
    elif isinstance(value, dict):
        yield from _inside(list(value.values()))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
