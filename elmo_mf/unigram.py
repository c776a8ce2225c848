"""The floor of language models: words predicted by their frequency alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable


def unigram_perplexity(train: Iterable[Hashable], scored: Iterable[Hashable], n_words: int) -> float:
    """Perplexity of `scored` by the counts of `train`, plus one for each of the `n_words` there are."""
    counts, judged = Counter(train), Counter(scored)
    total = sum(counts.values()) + n_words
    loss = sum(number * math.log(total / (counts[word] + 1)) for word, number in judged.items())
    return math.exp(loss / sum(judged.values()))
