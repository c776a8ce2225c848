"""Bracketed sentiment trees of the Stanford Sentiment Treebank."""

from __future__ import annotations

import re

from elmo_mf.tasks.formats._lines import LineFormat

_LABELS = ("0", "1", "2", "3", "4")


class PtbTrees(LineFormat):
    """Bracketed sentiment trees with node labels 0 to 4."""

    NAME = "ptb-trees"
    VERSION = 1
    expected = "a tree such as (3 (2 It) (3 works)) with labels 0 to 4; elmo-mf fetch data sst gets them"

    def label(self, line: str) -> str:
        """Return the label of the root.

        Raises:
            ValueError: The line is no tree of words with labels from 0 to 4.
        """
        from nltk.tree import Tree  # as AllenNLP's reader does

        tree = Tree.fromstring(line)
        for node in tree.subtrees():
            if node.label() not in _LABELS:
                raise ValueError(f"a node is labelled {node.label()[:20]!r}")
            if not len(node):
                raise ValueError("a node has no words")
        return str(tree.label())

    def foreign(self, line: str) -> str | None:
        """See `LineFormat.foreign`."""
        if line.startswith(("{", "[")) and '"label"' in line:
            return "Hugging Face's format, sentences with labels in JSON"
        return "a table of sentences and labels" if re.search(r"[,\t][\"']?([0-4]|[a-z]+)[\"']?\s*$", line) else None

    @staticmethod
    def accepts_blank(line: str) -> bool:
        """Return whether the line is empty; whitespace is not accepted."""
        return not line
