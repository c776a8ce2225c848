"""Bracketed sentiment trees, as the Stanford Sentiment Treebank has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nltk.tree import Tree


def phrases(lines: Iterable[str], min_words: int) -> Iterator[tuple[list[str], str]]:
    """Yield the words and the label of each sentence and of each of its phrases.

    A phrase that occurs again with the same label is left out.

    Args:
        lines: A tree per line; empty lines are skipped.
        min_words: Smallest number of words of a phrase; whole sentences may be shorter.
    """
    seen: set[tuple[str, ...]] = set()
    for tree in (Tree.fromstring(line) for line in lines if line.strip()):
        for subtree in tree.subtrees():
            words, label = subtree.leaves(), subtree.label()
            key = (label, *words)
            if key not in seen and (subtree is tree or len(words) >= min_words):
                seen.add(key)
                yield words, label
