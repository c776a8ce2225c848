"""The features of a probe: an encoder's frozen vectors, pooled over the words of a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.tasks.probe.examples import ProbeData, Sentence
from elmo_mf.tasks.task_config import Probed

VERSION = 1
"""Version of the features of probes, part of a run's identity; raised when they change."""

Array = npt.NDArray[np.float32]
Vectors: TypeAlias = Callable[[Sequence[Sentence]], Iterator[Array]]
"""Function that yields the vectors of each sentence's words, (words, numbers)."""
_BATCH = 64
_CHUNK = 4096  # sentences, which are sorted by length and whose vectors are in memory


def layer_vectors(bilm: Bilm, layers: slice, pause: Callable[[], None]) -> Vectors:
    """Return the vectors of some layers of an encoder, one after another.

    Args:
        bilm: The encoder.
        layers: Which layers; layer 0 is the token layer.
        pause: Called between batches.
    """

    def vectors(sentences: Sequence[Sentence]) -> Iterator[Array]:
        for start in range(0, len(sentences), _CHUNK):
            chunk = sentences[start : start + _CHUNK]
            order = sorted(range(len(chunk)), key=lambda index: len(chunk[index]))
            by_index: dict[int, Array] = {}
            for first in range(0, len(order), _BATCH):
                batch = order[first : first + _BATCH]
                for index, one in zip(batch, bilm.embed([chunk[index] for index in batch], _BATCH), strict=True):
                    by_index[index] = np.concatenate(one[layers], axis=1)
                pause()
            yield from (by_index[index] for index in range(len(chunk)))

    return vectors


def word_vectors(table: Mapping[str, Array]) -> Vectors:
    """Return vectors of lower-cased words from a table; unknown words have zeros."""
    unknown = np.zeros_like(next(iter(table.values())))

    def vectors(sentences: Sequence[Sentence]) -> Iterator[Array]:
        return (np.stack([table.get(word.lower(), unknown) for word in sentence]) for sentence in sentences)

    return vectors


def features(kind: Probed, data: ProbeData, vectors: Vectors) -> Array:
    """Compute the features of each example.

    A `text` has the mean and the maximum of its words' vectors; a `pair` the means u and v of both texts, |u - v| and
    their product (as in InferSent, Conneau et al. 2017); a `word` its own vectors.

    Args:
        kind: What is classified.
        data: The examples.
        vectors: Yields the vectors of each sentence's words, (words, numbers).

    Returns:
        (examples, features), with 2, 4 or 1 times as many features as a word's vector has numbers, respectively.
    """
    by_sentence = vectors(data.sentences)
    if kind == "word":
        return np.concatenate(list(by_sentence))
    if kind == "text":
        return np.stack([np.concatenate([one.mean(axis=0), one.max(axis=0)]) for one in by_sentence])[data.rows[:, 0]]
    means = np.stack([one.mean(axis=0) for one in by_sentence])
    u, v = means[data.rows[:, 0]], means[data.rows[:, 1]]
    return np.concatenate([u, v, np.abs(u - v), u * v], axis=1)
