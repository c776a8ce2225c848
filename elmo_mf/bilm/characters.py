"""Words to character ids, as bilm-tf and AllenNLP's `ELMoCharacterMapper` number them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# UTF-8 bytes are 0..255; every id is then shifted by one, so that 0 is the mask.
BEGIN_SENTENCE, END_SENTENCE, BEGIN_WORD, END_WORD, PADDING = 256, 257, 258, 259, 260


def character_ids(word: str, length: int = 50) -> list[int]:
    """`length` shifted ids of one word: begin, its bytes (cut to fit), end, padding."""
    return _framed(list(word.encode("utf-8", "ignore")[: length - 2]), length)


def sentence_bound(begin: bool, length: int = 50) -> list[int]:
    """`length` shifted ids of the token that begins (or ends) a sentence."""
    return _framed([BEGIN_SENTENCE if begin else END_SENTENCE], length)


def _framed(codes: list[int], length: int) -> list[int]:
    framed = [BEGIN_WORD, *codes, END_WORD]
    return [code + 1 for code in framed + [PADDING] * (length - len(framed))]


def batch_to_ids(sentences: Sequence[Sequence[str]], length: int = 50) -> Tensor:
    """Tokenised sentences to ids of shape (sentences, longest, length); rows past a sentence's end are 0."""
    longest = max((len(sentence) for sentence in sentences), default=0)
    empty = [0] * length
    rows = [[character_ids(word, length) for word in s] + [empty] * (longest - len(s)) for s in sentences]
    return torch.tensor(rows, dtype=torch.long).reshape(len(rows), longest, length)
