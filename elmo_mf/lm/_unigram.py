"""The unigram baseline of language models, which predicts words by their frequency."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable


def unigram_perplexity(train: Iterable[Hashable], scored: Iterable[Hashable], n_words: int) -> float:
    """Return the perplexity of a unigram model with add-one smoothing.

    Args:
        train: The words that are counted.
        scored: The words whose perplexity is computed.
        n_words: Size of the vocabulary.
    """
    counts, scored_counts = Counter(train), Counter(scored)
    total = sum(counts.values()) + n_words
    loss = sum(number * math.log(total / (counts[word] + 1)) for word, number in scored_counts.items())
    return math.exp(loss / sum(scored_counts.values()))
