"""The reader of phrases, against AllenNLP's reader of all subtrees."""

from __future__ import annotations

from pathlib import Path

import pytest
from allennlp_models.classification.dataset_readers import StanfordSentimentTreeBankDatasetReader
from nltk.tree import Tree

from elmo_mf.plugin.sst_phrases import SstPhrasesReader
from elmo_mf.sentiment_trees import phrases
from elmo_mf.tasks import load_task

Examples = list[tuple[tuple[str, ...], str]]


def _read(reader: SstPhrasesReader | StanfordSentimentTreeBankDatasetReader, path: Path) -> Examples:
    instances = ((tuple(map(str, one["tokens"].tokens)), one["label"].label) for one in reader.read(str(path)))
    return list(instances)


@pytest.mark.parametrize("least", [1, 4])
def test_phrases_are_the_distinct_subtrees_that_are_long_enough(least: int) -> None:
    path = load_task("sst").demo_data / "dev.txt"
    ours, theirs = (
        _read(SstPhrasesReader(least), path),
        _read(StanfordSentimentTreeBankDatasetReader(use_subtrees=True), path),
    )
    whole = {tuple(Tree.fromstring(line).leaves()) for line in path.read_text(encoding="utf-8").splitlines()}
    assert len(ours) == len(set(ours)) < len(theirs)
    assert set(ours) == {(words, label) for words, label in theirs if len(words) >= least or words in whole}


def test_short_sentences_are_read_and_empty_lines_are_not() -> None:
    actual = list(phrases(["(3 (2 A) (3 gem))", "", "(3 (2 A) (3 gem))", "(1 (1 Dull) (2 (2 as) (2 dust)))"], 3))
    assert actual == [(["A", "gem"], "3"), (["Dull", "as", "dust"], "1")]
