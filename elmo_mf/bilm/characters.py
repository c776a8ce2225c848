"""Character ids of words, numbered as in bilm-tf and in AllenNLP's `ELMoCharacterMapper`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from elmo_mf.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

# UTF-8 bytes are 0..255; every id is then shifted by one, so that 0 is the mask.
BEGIN_SENTENCE, END_SENTENCE, BEGIN_WORD, END_WORD, PADDING = 256, 257, 258, 259, 260
BOUNDS = ("<S>", "</S>")
"""Words of a text that stand for the beginning and the end of a sentence."""


def character_ids(word: str, length: int = 50) -> list[int]:
    """Return the character ids of a word: begin, its UTF-8 bytes (cut to fit), end, padding.

    Args:
        word: The word; those in `BOUNDS` have the ids of `sentence_bound`.
        length: Number of ids. Defaults to 50.
    """
    if word in BOUNDS:
        return sentence_bound(word == BOUNDS[0], length)
    return _framed(list(word.encode("utf-8", "ignore")[: length - 2]), length)


def sentence_bound(begin: bool, length: int = 50) -> list[int]:
    """Return the character ids of a token that marks the bounds of a sentence.

    Args:
        begin: Whether the token begins the sentence; otherwise it ends it.
        length: Number of ids. Defaults to 50.
    """
    return _framed([BEGIN_SENTENCE if begin else END_SENTENCE], length)


def _framed(codes: list[int], length: int) -> list[int]:
    framed = [BEGIN_WORD, *codes, END_WORD]
    return [code + 1 for code in framed + [PADDING] * (length - len(framed))]


def token_lists(sentences: Iterable[Iterable[str]]) -> Iterator[list[str]]:
    """Yield the tokens of each sentence.

    Raises:
        InputError: A sentence is a string (whose characters would be taken for tokens) or not iterable, or a token is
            not a string.
    """
    if isinstance(sentences, (str, bytes)) or not isinstance(sentences, Iterable):
        raise InputError("sentences", f"found {_describe(sentences)}, expected a list of lists of tokens")
    for number, sentence in enumerate(sentences):
        if isinstance(sentence, (str, bytes)) or not isinstance(sentence, Iterable):
            expected = "expected a list of tokens, such as the split() of a text"
            raise InputError("sentences", number, f"found {_describe(sentence)}, {expected}")
        tokens = list(sentence)
        for word in tokens:
            if not isinstance(word, str):
                raise InputError("sentences", number, f"found a token of type {type(word).__name__}, expected str")
        yield tokens


def _describe(value: object) -> str:
    return f"the text {value[:40]!r}" if isinstance(value, (str, bytes)) else f"a {type(value).__name__}"


def batch_to_ids(sentences: Iterable[Iterable[str]], length: int = 50) -> Tensor:
    """Turn tokenised sentences into character ids, see `padded_ids`.

    Args:
        sentences: Lists of tokens.
        length: Number of ids of each token. Defaults to 50.

    Returns:
        (sentences, longest, length); 0 past a sentence's end.

    Raises:
        InputError: See `token_lists`.
    """
    return padded_ids(sentences, lambda word: character_ids(word, length), length)


def padded_ids(sentences: Iterable[Iterable[str]], word_ids: Callable[[str], list[int]], width: int) -> Tensor:
    """Turn tokenised sentences into ids.

    Args:
        sentences: Lists of tokens.
        word_ids: Returns the ids of a token.
        width: Their number.

    Returns:
        (sentences, longest, width); 0 past a sentence's end.

    Raises:
        InputError: See `token_lists`.
    """
    import torch  # here, so that commands that only read options need not wait for it

    lists = list(token_lists(sentences))
    longest = max(map(len, lists), default=0)
    empty = [0] * width
    rows = [[word_ids(word) for word in s] + [empty] * (longest - len(s)) for s in lists]
    return torch.tensor(rows, dtype=torch.long).reshape(len(rows), longest, width)
