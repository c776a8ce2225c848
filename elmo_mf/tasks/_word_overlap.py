"""Answers to questions by word overlap alone."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from elmo_mf.records.outputs import SplitOutputs
from elmo_mf.tasks.formats import Example

VERSION = 1
"""Version of the answers by word overlap, part of a run's identity; raised when their scores change."""

LENGTHS = (2, 3, 5, 8, 12, 20)
"""Numbers of words of an answer that are tried."""
_WORDS = re.compile(r"\w+|[^\w\s]")
_ENDS = ".!?"
_REACH = 10  # words on either side for which a word of the question counts, by one over the distance
_TRAINED_ON = 2000  # questions

Rarity = dict[str, float]
"""Weight of each word: the logarithm of one over the share of passages that have it."""


class Overlap(NamedTuple):
    """Parameters of the answers to questions: the rarity of words, and the number of words of an answer."""

    rarity: Rarity
    length: int


def fit_overlap(train: Sequence[Example]) -> Overlap:
    """Count the words of the training passages, and choose the length of answers by the F1 of its questions."""
    passages = list(dict.fromkeys(example.raw[1] for example in train))
    counts = Counter(word for passage in passages for word in set(_WORDS.findall(passage.lower())))
    rarity = {word: math.log((1 + len(passages)) / count) for word, count in counts.items()}
    some = train[:: max(1, len(train) // _TRAINED_ON)]
    means = [float(overlap_outputs(Overlap(rarity, length), some).score.mean()) for length in LENGTHS]
    return Overlap(rarity, LENGTHS[int(np.argmax(means))])


def overlap_outputs(overlap: Overlap, examples: Sequence[Example]) -> SplitOutputs:
    """Return the F1 of the answers to questions."""
    from allennlp_models.rc.metrics import SquadEmAndF1

    metric, scores = SquadEmAndF1(), []
    for example in examples:
        _, context, qa = example.raw
        metric(nearest_span(context, qa["question"], overlap), [answer["text"] for answer in qa["answers"]])
        scores.append(metric.get_metric(reset=True)[1])
    return SplitOutputs(np.array(scores, np.float32))


def nearest_span(context: str, question: str, overlap: Overlap) -> str:
    """Return the words nearest to those of the question, in the sentence that shares the rarest of them.

    After the sliding window of Richardson et al. 2013 (MCTest), with which Rajpurkar et al. 2016 compare on SQuAD.

    Args:
        context: The passage.
        question: The question.
        overlap: See `fit_overlap`.
    """
    places = list(_WORDS.finditer(context))
    words = [place.group().lower() for place in places]
    asked, rarest = set(_WORDS.findall(question.lower())), max(overlap.rarity.values(), default=1.0)
    weights = [overlap.rarity.get(word, rarest) if word in asked and word.isalnum() else 0.0 for word in words]
    pairs = list(zip(words, weights, strict=True))
    first, last = max(_sentences(words), key=lambda ends: sum(dict(pairs[slice(*ends)]).values()))
    new = np.array([word not in asked and word.isalnum() for word in words])
    nearness = np.cumsum(np.concatenate([[0.0], (_near(np.array(weights)) * new)[first:last]]))
    length = min(overlap.length, last - first)
    start = first + int((nearness[length:] - nearness[: len(nearness) - length]).argmax())
    return context[places[start].start() : places[start + length - 1].end()]


def _near(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the weights around each word, each by one over its distance."""
    falling = 1 / np.arange(1, _REACH + 1)
    kernel = np.concatenate([falling[::-1], [0.0], falling])
    return np.convolve(weights, kernel)[_REACH : _REACH + len(weights)]


def _sentences(words: Sequence[str]) -> list[tuple[int, int]]:
    """Return the first word of each sentence, and the place after its last one."""
    ends = [index for index, word in enumerate(words) if word in _ENDS] + [len(words)]
    starts = [0, *(end + 1 for end in ends[:-1])]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if start < end] or [(0, len(words))]
