"""Tokenizer methods that AllenNLP calls and that transformers 5 renamed or removed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any


def tokenizer_getter(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap AllenNLP's `get_tokenizer`, so that its tokenizers have the removed methods."""

    @functools.wraps(original)
    def get_tokenizer(model_name: str, **kwargs: Any) -> Any:
        kwargs.pop("add_special_tokens", None)  # now an argument of calls only, where AllenNLP passes it too
        tokenizer = original(model_name, **kwargs)
        methods = {
            "encode_plus": tokenizer.__call__,
            "batch_encode_plus": tokenizer.__call__,
            "build_inputs_with_special_tokens": functools.partial(_surrounded, tokenizer),
        }
        for name, method in methods.items():
            if not hasattr(tokenizer, name):
                setattr(tokenizer, name, method)
        return tokenizer

    return get_tokenizer


def _surrounded(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    """Surround the ids of a text with the tokenizer's special tokens."""
    bare, whole = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    starts = range(len(whole) - len(bare) + 1)
    start = next(start for start in starts if whole[start : start + len(bare)] == bare)
    return [*whole[:start], *ids, *whole[start + len(bare) :]]
