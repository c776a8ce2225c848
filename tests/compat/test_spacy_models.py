"""Tests without spaCy's models: tokens do not need them, and requests for tags are rejected in one line."""

from __future__ import annotations

from typing import Any

import pytest
import spacy
from allennlp.common import util
from allennlp.common.checks import ConfigurationError
from allennlp.data import TokenIndexer, Tokenizer, Vocabulary
from allennlp.data.tokenizers import SpacyTokenizer
from spacy.util import is_package

TEXT = "Mr. O'Neill doesn't like the U.K.'s  weather (it's 5km away), e.g. rain."


@pytest.fixture(autouse=True)
def nothing_to_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make downloads fail as pip does without a network."""
    if is_package("en_core_web_sm"):
        pytest.skip("the model is installed")

    def download(name: str) -> None:
        raise SystemExit(1)

    monkeypatch.setattr(util, "spacy_download", download)


@pytest.mark.parametrize("tokenizer", [SpacyTokenizer, lambda: Tokenizer.by_name("spacy")(pos_tags=False)])
def test_tokens(tokenizer: Any) -> None:
    expected = [(token.text, token.idx) for token in spacy.blank("en")(TEXT) if not token.is_space]
    assert [(token.text, token.idx) for token in tokenizer().tokenize(TEXT)] == expected


def test_start_and_end_tokens() -> None:
    tokenizer = SpacyTokenizer(start_tokens=["<s>"], end_tokens=["</s>"])
    assert [token.text for token in tokenizer.tokenize("Hi there.")] == ["<s>", "Hi", "there", ".", "</s>"]


def test_spaces_split_in_one_tokenizer_alone() -> None:
    assert [token.text for token in SpacyTokenizer(split_on_spaces=True).tokenize("Hi there.")] == ["Hi", "there."]
    assert [token.text for token in SpacyTokenizer().tokenize("Hi there.")] == ["Hi", "there", "."]


def test_an_indexer_of_tags_is_refused() -> None:
    """The indexer fails instead of indexing an empty tag."""
    indexer = TokenIndexer.by_name("single_id")(feature_name="pos_")
    with pytest.raises(ValueError, match="pos_"):
        indexer.tokens_to_indices(SpacyTokenizer().tokenize("Hi there."), Vocabulary())


@pytest.mark.parametrize("asked", [{"pos_tags": True}, {"parse": True}, {"ner": True}, {"keep_spacy_tokens": True}])
def test_tags_need_the_model(asked: dict[str, bool]) -> None:
    with pytest.raises(ConfigurationError, match="spaCy model: found en_core_web_sm"):
        SpacyTokenizer(**asked)


def test_a_language_that_does_not_exist() -> None:
    with pytest.raises(ConfigurationError, match="spaCy model: found qq_web"):
        SpacyTokenizer("qq_web")


@pytest.mark.slow
def test_a_model_on_disk(tmp_path: Any) -> None:
    model = spacy.blank("en")
    rules: Any = model.add_pipe("attribute_ruler")
    rules.add([[{"LOWER": "sat"}]], {"POS": "VERB"})
    model.to_disk(tmp_path / "en_own")
    assert [token.pos_ for token in SpacyTokenizer(str(tmp_path / "en_own")).tokenize("John sat")] == ["", "VERB"]
