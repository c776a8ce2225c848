"""spaCy's English tokenizer rules without a downloaded model."""

from __future__ import annotations

from functools import cache
from typing import Any

import spacy
from allennlp.data.tokenizers import Token, Tokenizer

VERSION = 1
"""Version of the tokenizer, part of a run's identity; raised when tokens change."""


@cache
def english() -> Any:
    """Return spaCy's English tokenizer, built once per process because that takes a third of a second."""
    return spacy.blank("en").tokenizer


@Tokenizer.register("spacy_rules")
class SpacyRulesTokenizer(Tokenizer):  # type: ignore[misc]
    """Tokenizer with the tokens and offsets of AllenNLP's `SpacyTokenizer` with `en_core_web_sm`, without that model.

    The model's tokenizer uses only spaCy's rules for English; tagger and parser run after it. Whitespace tokens are
    dropped, as in `SpacyTokenizer`.
    """

    def __init__(self) -> None:
        self._tokenize = english()

    def tokenize(self, text: str) -> list[Token]:
        """Split a text into tokens.

        Args:
            text: The text.

        Returns:
            Tokens with `idx` and `idx_end`, their offsets in characters.
        """
        return [
            Token(token.text, token.idx, token.idx + len(token.text))
            for token in self._tokenize(text)
            if not token.is_space
        ]
