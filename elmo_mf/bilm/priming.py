"""The state policy `primed`: every sentence starts from the state in which one fixed text left the LSTMs.

An ELMo is trained on running text, its state carried from sentence to sentence, so that zeros are a state that it has
hardly seen. The text is `priming.txt` beside this file, one tokenised sentence a line.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from elmo_mf.bilm.characters import batch_to_ids

if TYPE_CHECKING:
    from elmo_mf.bilm.encoder import Bilm

_TEXT = Path(__file__).with_suffix(".txt")


@torch.no_grad()
def primed_state(bilm: Bilm) -> tuple[Tensor, Tensor]:
    """The last h (n_layers, 2, p) and c (n_layers, 2, n) of the text's sentences, each read on from the one before.

    As in training, the backward direction takes the sentences in the same order, each from its end to its start.
    """
    begin, end = bilm.bounds
    states = None
    for line in _TEXT.read_text(encoding="utf-8").splitlines():
        words = batch_to_ids([line.split()], bilm.options.char_cnn.max_characters_per_token)[0].to(begin.device)
        tokens = bilm.token_vectors(torch.cat([begin.unsqueeze(0), words, end.unsqueeze(0)]))
        _, states = bilm.run_layers(torch.stack([tokens, tokens.flip(0)]), [1] * len(tokens), states)
    assert states is not None
    h, c = zip(*states, strict=True)
    return torch.stack(h).squeeze(2), torch.stack(c).squeeze(2)
