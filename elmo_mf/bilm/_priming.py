"""The state policy `primed`: every sentence starts from the LSTMs' state at the end of one fixed text.

An ELMo is trained on running text, with its state carried from sentence to sentence, and has hardly seen a state of
zeros. The text is `priming.txt` in the folder of this file, one tokenised sentence per line.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from elmo_mf.bilm.packing import State

PRIMING_TEXT = Path(__file__).with_name("priming.txt")


class SteppedEncoder(Protocol):
    """The part of an encoder that priming needs; see `Bilm`."""

    @property
    def bounds(self) -> Tensor:
        """Ids of the tokens that begin and end a sentence, (2, width)."""

    def token_ids(self, sentences: Iterable[Iterable[str]]) -> Tensor:
        """Turn tokenised sentences into ids (sentences, longest, width)."""

    def token_vectors(self, ids: Tensor) -> Tensor:
        """Turn ids (tokens, width) into the token layer's vectors (tokens, p)."""

    def run_layers(
        self, stacked: Tensor, batch_sizes: list[int], states: list[State] | None
    ) -> tuple[list[Tensor], list[State]]:
        """Run all biLSTM layers, see `Bilm.run_layers`.

        Args:
            stacked: Token vectors in the order in which each direction reads them, (2, tokens, p).
            batch_sizes: Number of sequences still running at each step.
            states: Starting states of each layer; None for zeros.
        """


def priming_sentences() -> list[list[str]]:
    """Return the tokens of the priming text's sentences."""
    return [line.split() for line in PRIMING_TEXT.read_text(encoding="utf-8").splitlines()]


@torch.no_grad()
def primed_state(encoder: SteppedEncoder, sentences: Iterable[list[str]]) -> tuple[Tensor, Tensor]:
    """Run an encoder over sentences, each from the state at the end of the one before.

    As in training, the backward direction runs through the sentences in the same order, and through each from its end
    to its start.

    Args:
        encoder: The encoder.
        sentences: Tokens of each sentence.

    Returns:
        The last h (n_layers, 2, p) and c (n_layers, 2, n).
    """
    begin, end = encoder.bounds
    states = None
    for sentence in sentences:
        words = encoder.token_ids([sentence])[0].to(begin.device)
        tokens = encoder.token_vectors(torch.cat([begin.unsqueeze(0), words, end.unsqueeze(0)]))
        _, states = encoder.run_layers(torch.stack([tokens, tokens.flip(0)]), [1] * len(tokens), states)
    assert states is not None
    h, c = zip(*states, strict=True)
    return torch.stack(h).squeeze(2), torch.stack(c).squeeze(2)
