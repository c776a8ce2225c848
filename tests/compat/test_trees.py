"""Tests that AllenNLP's reader of constituency trees opens any file, and reads it as nltk would."""

from __future__ import annotations

from pathlib import Path

import pytest
from allennlp.common.checks import ConfigurationError
from allennlp_models.structured_prediction import PennTreeBankConstituencySpanDatasetReader
from nltk.corpus.reader.util import read_sexpr_block

TREES = """( (S (NP-SBJ (DT The) (NN cat))
     (VP (VBD sat))) )

(VROOT (S (NP (PRP It)) (VP (VBZ is) (ADJP (JJ new))) (. .)))
(TOP (S (NP (NNS Caf\u00e9s)) (VP (VBP close))))
"""
WORDS = [["The", "cat", "sat"], ["It", "is", "new", "."], ["Caf\u00e9s", "close"]]


def _read(path: Path) -> list[list[str]]:
    instances = PennTreeBankConstituencySpanDatasetReader().read(str(path))
    return [[token.text for token in instance["tokens"]] for instance in instances]


@pytest.mark.parametrize("change", [str, "\ufeff".__add__, lambda text: text.replace("\n", "\r\n"), str.rstrip])
def test_every_form_of_a_text(change: object, tmp_path: Path) -> None:
    path = tmp_path / "some trees.mrg"
    path.write_bytes(change(TREES).encode())  # type: ignore[operator]
    assert _read(path) == WORDS


def test_labels_and_tags(tmp_path: Path) -> None:
    path = tmp_path / "trees.txt"
    path.write_text(TREES, encoding="utf-8")
    first = next(iter(PennTreeBankConstituencySpanDatasetReader().read(str(path))))
    assert first["pos_tags"].labels == ["DT", "NN", "VBD"]
    spans = {(s.span_start, s.span_end): c for s, c in zip(first["spans"], first["span_labels"].labels, strict=True)}
    assert spans[0, 1] == "NP" and spans[0, 2] == "S" and spans[1, 2] == "NO-LABEL"


def test_as_nltk_cuts_them(tmp_path: Path) -> None:
    """nltk's other way to find the end of a tree, by brackets, gives as many trees."""
    path = tmp_path / "trees.txt"
    path.write_text(TREES, encoding="utf-8")
    with open(path, encoding="utf-8") as file:
        blocks = read_sexpr_block(file)
    assert len(blocks) == len(WORDS)


def test_brackets_that_do_not_match(tmp_path: Path) -> None:
    path = tmp_path / "trees.txt"
    path.write_text("(S (NP (DT the) (NN cat))\n(S (NN dog))\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"trees\.txt: found '\(S .*'"):
        _read(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        _read(tmp_path / "gone.txt")
