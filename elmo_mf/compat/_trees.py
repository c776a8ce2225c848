"""nltk's reader of bracketed trees for any file; nltk itself only opens files in its own data folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from allennlp.common.checks import ConfigurationError
from nltk.corpus.reader.bracket_parse import BracketParseCorpusReader
from nltk.tree import Tree


class TreeFiles(BracketParseCorpusReader):  # type: ignore[misc]
    """Replacement for its base class that only supports `parsed_sents` of a list of files."""

    def __init__(self, root: str, fileids: Sequence[str]) -> None:
        self._paths = [Path(root, name) for name in fileids]
        self._comment_char, self._detect_blocks = None, "unindented_paren"

    def parsed_sents(self) -> Iterator[Tree]:
        """Yield each tree, ignoring a byte order mark, which would hide the first one.

        Raises:
            ConfigurationError: Brackets do not match; nltk would return a tree of (word, tag) pairs instead.
        """
        for path in self._paths:
            with open(path, encoding="utf-8-sig") as file:
                while block := self._read_block(file):
                    yield from (_tree(self._normalize(text), path) for text in block)


def _tree(text: str, path: Path) -> Tree:
    try:
        tree = Tree.fromstring(text)
    except ValueError:
        start = " ".join(text.split())[:60]  # not by `errors`: patches import nothing of this project
        raise ConfigurationError(f"{path}: found {start!r}, expected a tree whose brackets match") from None
    return tree[0] if tree.label() == "" and len(tree) == 1 else tree
