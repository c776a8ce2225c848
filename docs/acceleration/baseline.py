"""F1 of a tagger that gives each word its most frequent tag, without an ELMo or a network.

From the project's root: `python -m docs.acceleration.baseline TRAIN TEST`, with files of `docs.acceleration.train`.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from pathlib import Path

from allennlp.data.dataset_readers.dataset_utils import bio_tags_to_spans

Sentence = list[tuple[str, str]]


def read(path: Path) -> list[Sentence]:
    """Read sentences of words and their tags."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [[(word, tag) for word, _, tag in (pair.rpartition("###") for pair in line.split())] for line in lines]


def baseline_f1(train: list[Sentence], test: list[Sentence]) -> float:
    """Return the F1 of spans on test sentences; words that were not in training are outside names."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for word, tag in (pair for sentence in train for pair in sentence):
        counts[word][tag] += 1
    frequent = {word: tags.most_common(1)[0][0] for word, tags in counts.items()}
    common = spans = gold_spans = 0
    for sentence in test:
        predicted = set(bio_tags_to_spans([frequent.get(word, "O") for word, _ in sentence]))
        gold = set(bio_tags_to_spans([tag for _, tag in sentence]))
        common, spans, gold_spans = common + len(predicted & gold), spans + len(predicted), gold_spans + len(gold)
    return 2 * common / max(1, spans + gold_spans)


if __name__ == "__main__":
    print(baseline_f1(*(read(Path(path)) for path in sys.argv[1:3])))
