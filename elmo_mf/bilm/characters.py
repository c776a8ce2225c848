"""Words to character ids, as bilm-tf and AllenNLP's `ELMoCharacterMapper` number them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from elmo_mf.errors import InputError

# UTF-8 bytes are 0..255; every id is then shifted by one, so that 0 is the mask.
BEGIN_SENTENCE, END_SENTENCE, BEGIN_WORD, END_WORD, PADDING = 256, 257, 258, 259, 260
BOUNDS = ("<S>", "</S>")
"""Words of a text that stand for the beginning and the end of a sentence."""


def character_ids(word: str, length: int = 50) -> list[int]:
    """`length` shifted ids of one word: begin, its bytes (cut to fit), end, padding; of `BOUNDS`, `sentence_bound`."""
    if word in BOUNDS:
        return sentence_bound(word == BOUNDS[0], length)
    return _framed(list(word.encode("utf-8", "ignore")[: length - 2]), length)


def sentence_bound(begin: bool, length: int = 50) -> list[int]:
    """`length` shifted ids of the token that begins (or ends) a sentence."""
    return _framed([BEGIN_SENTENCE if begin else END_SENTENCE], length)


def _framed(codes: list[int], length: int) -> list[int]:
    framed = [BEGIN_WORD, *codes, END_WORD]
    return [code + 1 for code in framed + [PADDING] * (length - len(framed))]


def token_lists(sentences: Iterable[Iterable[str]]) -> Iterator[list[str]]:
    """The tokens of each sentence. A text is a sequence of texts too: each of its characters would be one.

    Raises:
        InputError: a text in place of a list of tokens, a token that is no text, or something else altogether.
    """
    if isinstance(sentences, (str, bytes)) or not isinstance(sentences, Iterable):
        raise InputError(f"sentences: found {_told(sentences)}, expected a list of lists of tokens")
    for number, sentence in enumerate(sentences):
        if isinstance(sentence, (str, bytes)) or not isinstance(sentence, Iterable):
            expected = "expected a list of tokens, such as the split() of a text"
            raise InputError(f"sentences: {number}: found {_told(sentence)}, {expected}")
        tokens = list(sentence)
        for word in tokens:
            if not isinstance(word, str):
                raise InputError(f"sentences: {number}: found a token of type {type(word).__name__}, expected str")
        yield tokens


def _told(value: object) -> str:
    return f"the text {value[:40]!r}" if isinstance(value, (str, bytes)) else f"a {type(value).__name__}"


def batch_to_ids(sentences: Iterable[Iterable[str]], length: int = 50) -> Tensor:
    """Tokenised sentences to ids of shape (sentences, longest, length); rows past a sentence's end are 0.

    Raises:
        InputError: see `token_lists`.
    """
    lists = list(token_lists(sentences))
    longest = max(map(len, lists), default=0)
    empty = [0] * length
    rows = [[character_ids(word, length) for word in s] + [empty] * (longest - len(s)) for s in lists]
    return torch.tensor(rows, dtype=torch.long).reshape(len(rows), longest, length)
