"""Tests of tokens and offsets by spaCy's English rules."""

from __future__ import annotations

import spacy
from allennlp.data.tokenizers import Tokenizer
from hypothesis import given
from hypothesis import strategies as st

import elmo_mf.plugin  # noqa: F401 - registers


def test_registered() -> None:
    tokens = Tokenizer.by_name("spacy_rules")().tokenize("Don't tell Mr. O'Neill (U.S.)  it's $5.")
    expected = "Do|n't|tell|Mr.|O'Neill|(|U.S.|)|it|'s|$|5|.".split("|")
    assert [t.text for t in tokens] == expected


SPACY = spacy.blank("en")
RULES = Tokenizer.by_name("spacy_rules")()


@given(st.text(max_size=80))
def test_offsets_point_into_the_text(text: str) -> None:
    tokens = RULES.tokenize(text)
    assert all(text[token.idx : token.idx_end] == token.text for token in tokens)
    assert not any(token.text.isspace() for token in tokens)
    assert [t.text for t in SPACY(text) if not t.is_space] == [t.text for t in tokens]
