"""Chance scores: those of models that know only the labels or words of a task's training data."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from elmo_mf.lm import unigram_perplexity
from elmo_mf.tasks.formats import Example

VERSION = 1
"""Version of these scores, part of a run's identity; raised when they change."""


def majority_accuracy(train: Iterable[str], scored: Sequence[str]) -> float:
    """Return the accuracy of always predicting the most frequent label of the training data.

    Args:
        train: Labels of the training data; of labels that are equally frequent, the first is predicted.
        scored: Labels of the scored data.
    """
    label = Counter(train).most_common(1)[0][0]
    return sum(one == label for one in scored) / len(scored)


def _majority(train: list[Example], scored: list[Example]) -> float:
    return majority_accuracy([example.label for example in train], [example.label for example in scored])


def random_span_f1(train: list[Example], scored: list[Example]) -> float:
    """Return the F1 on `scored` of one random span per passage, with the mean length in words of `train`'s answers."""
    from allennlp_models.rc.metrics import SquadEmAndF1

    rng = random.Random(0)
    length = max(1, round(sum(len(example.label.split()) for example in train) / len(train)))
    metric = SquadEmAndF1()
    for example in scored:
        _, context, qa = example.raw
        words = context.split()
        start = rng.randrange(max(1, len(words) - length + 1))
        metric(" ".join(words[start : start + length]), [answer["text"] for answer in qa["answers"]])
    return float(metric.get_metric()[1])


def unigram_chance(train: list[Example], scored: list[Example]) -> float:
    """Return the perplexity of `scored` under a unigram model of `train` with add-one smoothing.

    The end of a line counts as a word, and words that are not in `train` count as `<unk>`.
    """
    words = _words(train)
    known = {*words, "<unk>"}
    return unigram_perplexity(words, (word if word in known else "<unk>" for word in _words(scored)), len(known))


def _words(lines: list[Example]) -> list[str]:
    return [word for line in lines for word in (*line.raw.split(), "<eos>")]


CHANCES: dict[str, Callable[[list[Example], list[Example]], float]] = {
    "majority": _majority,
    "random-span": random_span_f1,
    "unigram": unigram_chance,
}
"""Chance scores by their names in task configs."""
