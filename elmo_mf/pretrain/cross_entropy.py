"""The loss of a softmax over many words, computed in blocks of rows.

The logits of a batch over a large vocabulary do not fit in a processor's cache, and their gradients need even more
memory. Here, each block of rows is processed while it is in the cache: its logits become probabilities and then
gradients in the same memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def cross_entropy(states: Tensor, weight: Tensor, words: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute the sum of the negative log-likelihoods of words, in nats.

    Args:
        states: Inputs of the softmax, (rows, dim).
        weight: Weight of each word, (vocabulary, dim).
        words: Ids of the target words, (rows,).
        bias: Bias of each word, (vocabulary,). Defaults to none.
    """
    if not torch.is_grad_enabled():  # otherwise the function would compute gradients for every parameter
        states, weight, bias = states.detach(), weight.detach(), None if bias is None else bias.detach()
    loss: Tensor = _CrossEntropy.apply(states, weight, bias, words)  # type: ignore[no-untyped-call]
    return loss


class _CrossEntropy(torch.autograd.Function):
    """Computes the gradients together with the loss; backward scales them by the gradient of the loss."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, words: Tensor) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        gradients = [torch.zeros_like(one) if wanted and one is not None else None for one in (states, weight, bias)]
        loss, n_rows = states.new_zeros(()), _rows_at_once(weight)
        memory = states.new_empty(min(n_rows, len(states)), len(weight))
        for first in range(0, len(states), n_rows):
            rows, targets = states[first : first + n_rows], words[first : first + n_rows].unsqueeze(1)
            logits = torch.mm(rows, weight.T, out=memory[: len(rows)])
            if bias is not None:
                logits += bias
            loss += _to_probabilities(logits, targets)
            if wanted:
                logits.scatter_add_(1, targets, logits.new_full((), -1).expand_as(targets))
                _add_gradients(logits, rows, weight, first, gradients)
        ctx.gradients = gradients
        return loss

    @staticmethod
    def backward(ctx: Any, *of_loss: Tensor) -> tuple[Tensor | None, ...]:
        return (*(None if one is None else one * of_loss[0] for one in ctx.gradients), None)


def _to_probabilities(logits: Tensor, targets: Tensor) -> Tensor:
    """Convert logits to probabilities in place, and return the loss."""
    at_targets = logits.gather(1, targets)
    largest = logits.amax(1, keepdim=True)
    total = logits.sub_(largest).exp_().sum(1, keepdim=True)
    logits.div_(total)
    return (total.log() + largest - at_targets).sum()


def _add_gradients(of_logits: Tensor, states: Tensor, weight: Tensor, first: int, to: list[Tensor | None]) -> None:
    """Add the gradients of a block to those of the states, the weight and the bias."""
    of_states, of_weight, of_bias = to
    if of_states is not None:
        torch.mm(of_logits, weight, out=of_states[first : first + len(states)])
    if of_weight is not None:
        of_weight.addmm_(of_logits.T, states)
    if of_bias is not None:
        of_bias += of_logits.sum(0)


def _rows_at_once(weight: Tensor) -> int:
    """Return the number of rows of a block; large on a GPU, where each product is a kernel launch."""
    size = CACHE_BYTES if weight.device.type == "cpu" else GPU_BYTES
    return max(FEWEST_ROWS, size // (weight.element_size() * len(weight)))


CACHE_BYTES = 2 * 2**20
GPU_BYTES = 256 * 2**20
FEWEST_ROWS = 128  # smaller blocks would spend most of their time on reading the weights
