"""Baselines that need no encoder: linear models of the words themselves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from elmo_mf.records.identity import Split
from elmo_mf.records.outputs import SplitOutputs
from elmo_mf.tasks.probe.classifier import fit, outputs_of
from elmo_mf.tasks.probe.examples import ProbeData, Sentence
from elmo_mf.tasks.task_config import Probed

VERSION = 1
"""Version of the classification by words, part of a run's identity; raised when its scores change."""


def words_alone(kind: Probed, splits: dict[Split, ProbeData]) -> dict[Split, SplitOutputs]:
    """Classify examples by their words.

    - `text` and `word`: multinomial naive Bayes on the words of the text, or on the word and its two neighbours.
    - `pair`: logistic regression on the words and pairs of words of the second text (the hypothesis alone, as in
      Gururangan et al. 2018), and on how many of them the first one has.

    Args:
        kind: What is classified.
        splits: The examples; those of `train` are fitted, and for `pair` those of `validation` choose the
            regularisation.

    Returns:
        The outputs on all splits but `train`.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    train, validation = splits["train"], splits["validation"]
    texts = {split: _texts(kind, data) for split, data in splits.items()}
    counter = CountVectorizer(analyzer=list, min_df=2 if kind == "pair" else 1, binary=kind == "pair")
    counter.fit(texts["train"])
    inputs: dict[Split, Any] = {split: counter.transform(words) for split, words in texts.items()}
    if kind == "pair":
        inputs = {split: _with_overlaps(counts, splits[split]) for split, counts in inputs.items()}
        model = fit(inputs["train"], train.labels, inputs["validation"], validation.labels)
        probabilities, classes = model.probabilities, model.classes
    else:
        bayes = MultinomialNB().fit(inputs["train"], train.labels)
        probabilities, classes = bayes.predict_proba, bayes.classes_
    return {
        split: outputs_of(probabilities(inputs[split]), classes, data.labels)
        for split, data in splits.items()
        if split != "train"
    }


def _texts(kind: Probed, data: ProbeData) -> list[list[str]]:
    """Return what is counted of each example."""
    if kind == "word":
        return [around for sentence in data.sentences for around in _neighbours(sentence)]
    lower = [[word.lower() for word in sentence] for sentence in data.sentences]
    if kind == "text":
        return [lower[place] for place in data.rows[:, 0]]
    return [_with_pairs(lower[place]) for place in data.rows[:, 1]]


def _neighbours(sentence: Sentence) -> list[list[str]]:
    padded = ["", *(word.lower() for word in sentence), ""]
    triples = zip(padded, padded[1:], padded[2:], strict=False)
    return [[f"-1 {before}", word, f"+1 {after}"] for before, word, after in triples]


def _with_pairs(words: list[str]) -> list[str]:
    return words + [f"{one} {other}" for one, other in itertools.pairwise(words)]


def _with_overlaps(counts: Any, data: ProbeData) -> Any:
    from scipy.sparse import csr_matrix, hstack

    bags = [{word.lower() for word in sentence} for sentence in data.sentences]
    return hstack([counts, csr_matrix(_overlaps(bags, data.rows))]).tocsr()


def _overlaps(bags: Sequence[set[str]], rows: Any) -> np.ndarray:
    """Return the share and the number of words of the second text that are new, and the numbers of words of both."""
    pairs = [(bags[first], bags[second]) for first, second in rows]
    return np.array([[len(b - a) / len(b), len(b - a), len(b), len(a)] for a, b in pairs], np.float64)
