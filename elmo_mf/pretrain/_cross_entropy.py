"""The loss of a softmax over many words, computed in blocks of rows.

The logits of a batch over a large vocabulary do not fit in a processor's cache, and their gradients need even more
memory. Here, each block of rows is processed while it is in the cache: its logits become log-probabilities, which
become gradients in the same memory. Under `torch.autocast`, the operands of products have its type; probabilities, sums
of gradients and the loss are in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def cross_entropy(
    states: Tensor, weight: Tensor, words: Tensor, bias: Tensor | None = None, block_rows: int | None = None
) -> Tensor:
    """Compute the sum of the negative log-likelihoods of words, in nats.

    Args:
        states: Inputs of the softmax, (rows, dim).
        weight: Weight of each word, (vocabulary, dim).
        words: Ids of the target words, (rows,).
        bias: Bias of each word, (vocabulary,). Defaults to none.
        block_rows: Number of rows of a block. Defaults to as many as fit in a processor's cache.
    """
    if not torch.is_grad_enabled():  # otherwise the function would compute gradients for every parameter
        states, weight, bias = states.detach(), weight.detach(), None if bias is None else bias.detach()
    device = states.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype
    rows = block_rows or _rows_at_once(weight)
    loss: Tensor = _CrossEntropy.apply(states, weight, bias, words, dtype, rows)  # type: ignore[no-untyped-call]
    return loss


class _CrossEntropy(torch.autograd.Function):
    """Computes the gradients together with the loss; backward scales them by the gradient of the loss."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, words: Tensor, dtype: torch.dtype, n_rows: int
    ) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        gradients = [torch.zeros_like(one) if wanted and one is not None else None for one in (states, weight, bias)]
        loss = weight.new_zeros(())
        memory = weight.new_empty(min(n_rows, len(states)), len(weight))
        products = memory if dtype == memory.dtype else torch.empty_like(memory, dtype=dtype)
        states, cast = states.to(dtype), weight.to(dtype)
        for first in range(0, len(states), n_rows):
            rows, targets = states[first : first + n_rows], words[first : first + n_rows].unsqueeze(1)
            product, logits = torch.mm(rows, cast.T, out=products[: len(rows)]), memory[: len(rows)]
            if product.dtype != logits.dtype:
                logits.copy_(product)
            if bias is not None:
                logits += bias
            log_probabilities = torch.log_softmax(logits, 1)
            loss -= log_probabilities.gather(1, targets).sum()
            if wanted:
                of_logits = log_probabilities.exp_()
                of_logits.scatter_add_(1, targets, of_logits.new_full((), -1).expand_as(targets))
                if gradients[2] is not None:
                    gradients[2] += of_logits.sum(0)
                if product.dtype != of_logits.dtype:
                    of_logits = product.copy_(of_logits)
                _add_gradients(of_logits, rows, cast, first, gradients)
        ctx.gradients = gradients
        return loss

    @staticmethod
    def backward(ctx: Any, *of_loss: Tensor) -> tuple[Tensor | None, ...]:
        return (*(None if one is None else one * of_loss[0] for one in ctx.gradients), None, None, None)


def _add_gradients(of_logits: Tensor, states: Tensor, weight: Tensor, first: int, to: list[Tensor | None]) -> None:
    """Add the gradients of a block to those of the states and the weight."""
    of_states, of_weight, _ = to
    if of_states is not None:
        of_states[first : first + len(states)] = of_logits @ weight
    if of_weight is not None:
        if of_weight.dtype == states.dtype:
            of_weight.addmm_(of_logits.T, states)
        else:
            of_weight += of_logits.T @ states


def _rows_at_once(weight: Tensor) -> int:
    """Return the number of rows of a block; large on a GPU, where each product is a kernel launch."""
    size = CACHE_BYTES if weight.device.type == "cpu" else GPU_BYTES
    return max(FEWEST_ROWS, size // (weight.element_size() * len(weight)))


CACHE_BYTES = 2**20
GPU_BYTES = 256 * 2**20
FEWEST_ROWS = 128  # smaller blocks would spend most of their time on reading the weights
