"""Examples that a probe classifies: sentences, pairs of sentences, or words, with their labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from elmo_mf.tasks.formats import Example, LabelledText, PtbTrees
from elmo_mf.tasks.task_config import Probed

VERSION = 1
"""Version of what probes and the baseline `words` classify, part of a run's identity; raised when it changes."""

Sentence = tuple[str, ...]
_MOST_ENDS = 3


@dataclass(frozen=True)
class ProbeData:
    """Labelled examples of a split.

    Attributes:
        sentences: Different sentences in words; of `word` examples, all sentences in order.
        rows: Index of each example's sentences, (examples, 1), or (examples, 2) for `pair`; unused for `word`.
        labels: Label of each example, (examples,); of `word` examples, those of all words in order.
    """

    sentences: list[Sentence]
    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.str_]

    def sentence_numbers(self) -> npt.NDArray[np.float32]:
        """Return the number of each word's sentence, for `word` examples."""
        lengths = [len(sentence) for sentence in self.sentences]
        return np.repeat(np.arange(len(lengths), dtype=np.float32), lengths)


def probe_data(kind: Probed, examples: Sequence[Example]) -> ProbeData:
    """Return what a probe classifies.

    Args:
        kind: See `ProbeConfig`.
        examples: Examples of a task.
    """
    if kind == "word":
        words = [_ends(example.raw) for example in examples]
        labels = [label for _, ends in words for label in ends]
        return ProbeData([sentence for sentence, _ in words], np.zeros((len(labels), 0), np.int64), np.array(labels))
    read = _text if kind == "text" else _pair
    places: dict[Sentence, int] = {}
    rows = [[places.setdefault(sentence, len(places)) for sentence in read(example.raw)] for example in examples]
    return ProbeData(list(places), np.array(rows), np.array([example.label for example in examples]))


def needs_tokenizer(data_format: str) -> bool:
    """Return whether the texts of a data format are split into words by `elmo_mf.plugin.tokenizer`."""
    return data_format != PtbTrees.NAME


def _text(raw: str | LabelledText) -> list[Sentence]:
    """Return the words of a tree or a text."""
    if isinstance(raw, LabelledText):
        return [_words(raw.text)]
    from nltk.tree import Tree

    return [tuple(Tree.fromstring(raw).leaves())]


def _pair(line: str) -> list[Sentence]:
    row = json.loads(line)
    return [_words(row["sentence1"]), _words(row["sentence2"])]


def _words(text: str) -> Sentence:
    from elmo_mf.plugin.tokenizer import english

    return tuple(token.text for token in english()(text) if not token.is_space)


def _ends(tree: str) -> tuple[Sentence, list[str]]:
    """Return the words of a tree, and for each the number of constituents of several words that end with it."""
    from nltk.tree import Tree

    root = Tree.fromstring(tree)
    counts = [0] * len(root.leaves())

    def count(node: Tree, start: int) -> int:
        if not isinstance(node, Tree):
            return start + 1
        end = start
        for child in node:
            end = count(child, end)
        counts[end - 1] += end - start > 1
        return end

    count(root, 0)
    return tuple(root.leaves()), [f"{_MOST_ENDS}+" if ends >= _MOST_ENDS else str(ends) for ends in counts]
