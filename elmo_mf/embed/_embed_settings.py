"""Settings of embedding a text; without PyTorch, so that the command line checks options before it is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Keep = Literal["all", "top", "average"]
KEEP: tuple[Keep, ...] = ("all", "top", "average")


@dataclass(frozen=True)
class EmbedSettings:
    """Settings of embedding a file.

    Attributes:
        keep: `all` layers, shape (n_layers + 1, tokens, 2p); the `top` layer or the `average`, shape (tokens, 2p).
        batch: Number of sentences per batch.
        chunk: Number of tokens at which longer sentences are split into chunks.
        mean: Whether to keep only the mean over the tokens, without their axis.
        window_lines: Number of sentences from which on a part of the output is complete and need not be repeated.
        window_tokens: Number of tokens from which on a part of the output is complete.
    """

    keep: Keep = "all"
    batch: int = 32
    chunk: int = 1024
    mean: bool = False
    window_lines: int = 1024
    window_tokens: int = 16_384
