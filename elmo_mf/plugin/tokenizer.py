"""spaCy's English tokenizer rules without a downloaded model."""

from __future__ import annotations

from functools import cache
from typing import Any

import spacy
from allennlp.data.tokenizers import Token, Tokenizer


@cache
def english() -> Any:
    """The rules, which take a third of a second to make: once a process."""
    return spacy.blank("en").tokenizer


@Tokenizer.register("spacy_rules")
class SpacyRulesTokenizer(Tokenizer):  # type: ignore[misc]
    """The tokens and character offsets of AllenNLP's `SpacyTokenizer` with `en_core_web_sm`, which needs no model.

    That model's tokenizer is spaCy's rules for English alone; tagger and parser come after it. Whitespace tokens are
    dropped, as there.
    """

    def __init__(self) -> None:
        self._tokenize = english()

    def tokenize(self, text: str) -> list[Token]:
        """Tokens with `idx` and `idx_end`, offsets in characters."""
        return [
            Token(token.text, token.idx, token.idx + len(token.text))
            for token in self._tokenize(text)
            if not token.is_space
        ]
