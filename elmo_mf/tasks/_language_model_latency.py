"""Times of a language model and of its core, compressed and dense in turns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from elmo_mf.bilm.packing import State
from elmo_mf.lm import CoreLstm
from elmo_mf.records.record import Batch, Latency, Times
from elmo_mf.tasks._latency import times

if TYPE_CHECKING:
    from elmo_mf.plugin.awd_lstm import AwdLstm

_STEPS = 70  # of the large batch
_REPEATS = 20  # of a single step, which takes less than a millisecond

Core = Callable[[Tensor, list[State]], tuple[list[Tensor], list[State]]]


def measure(model: AwdLstm, dense: CoreLstm, device: torch.device, samples: int, rounds: int) -> Latency:
    """Measure times as `_latency.measure` does, where the encoder is the core.

    The dense encoder is always `torch.nn.LSTM`, even for a dense core. Batch size 1 is a generation step of one word;
    batch size 32 is the scoring of 32 streams of 70 words.

    Args:
        model: The language model.
        dense: The core before compression.
        device: Device to run on.
        samples: Number of words that are timed at batch size 1; an eighth of it at 32.
        rounds: How often each of them is timed.
    """
    model.requires_grad_(False)
    core = model.core.inference() if device.type == "cpu" else model.core
    lstms = [lstm.to(device) for lstm in dense.to_torch()]
    core_times: dict[Batch, Times] = {}
    model_times: dict[Batch, Times] = {}
    regimes: tuple[tuple[Batch, int, int], ...] = (("1", 1, _REPEATS), ("32", _STEPS, 1))
    for batch, steps, repeats in regimes:
        streams = int(batch)
        count = samples if streams == 1 else max(1, samples // 8)
        generator = torch.Generator().manual_seed(0)
        shape = streams, steps + 1
        words = model.embedding.num_embeddings
        batches = [torch.randint(words, shape, generator=generator).to(device) for _ in range(count)]
        state = [(torch.zeros(1, streams, lstm.hidden_size, device=device),) * 2 for lstm in lstms]
        runs = [partial(_core_only, model.embed(tokens[:, :-1]).transpose(0, 1), state) for tokens in batches]
        whole = [partial(_whole, model, tokens, state) for tokens in batches]
        core_times[batch] = times(runs, core, partial(_torch_core, lstms), rounds, repeats)
        model_times[batch] = times(whole, core, partial(_torch_core, lstms), rounds, repeats)
    return Latency(encoder=core_times, model=model_times)


def _core_only(inputs: Tensor, state: list[State], core: Core) -> None:
    core(inputs, state)


def _whole(model: AwdLstm, tokens: Tensor, state: list[State], core: Core) -> None:
    """Compute the next word's probabilities from one word, or the losses of longer streams."""
    outputs, _ = core(model.embed(tokens[:, :-1]).transpose(0, 1), state)
    if tokens.shape[1] == 2:
        model.logits(outputs[-1]).softmax(dim=-1)
    else:
        model.losses(outputs[-1].flatten(0, 1), tokens[:, 1:].T.flatten())


def _torch_core(lstms: list[nn.LSTM], inputs: Tensor, state: list[State]) -> tuple[list[Tensor], list[State]]:
    outputs, after = [], []
    for lstm, before in zip(lstms, state, strict=True):
        inputs, last = lstm(inputs, before)
        outputs.append(inputs)
        after.append(last)
    return outputs, after
