"""Gradient clipping that supports sparse gradients, which PyTorch's functions no longer do."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import utils

_clip_norm, _clip_value = utils.clip_grad_norm_, utils.clip_grad_value_
_LEAST = 1e-6  # torch adds the same to the divisor


@torch.no_grad()
def clip_grad_norm_(parameters: Iterable[Tensor], max_norm: float, norm_type: float = 2.0) -> Tensor:
    """Clip the norm as `torch.nn.utils.clip_grad_norm_` does; dense gradients give identical numbers."""
    parameters = list(parameters)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not any(gradient.is_sparse for gradient in gradients):
        return torch.as_tensor(_clip_norm(parameters, max_norm, norm_type))
    norms = torch.stack([_norm(gradient, norm_type).to(gradients[0].device) for gradient in gradients])
    total: Tensor = torch.linalg.vector_norm(norms, norm_type)
    share = torch.clamp(max_norm / (total + _LEAST), max=1.0)
    for gradient in gradients:
        gradient.mul_(share.to(gradient.device))  # on `gradient.detach()`, it would not change a sparse gradient
    return total


@torch.no_grad()
def clip_grad_value_(parameters: Iterable[Tensor], clip_value: float) -> None:
    """Clip the values as `torch.nn.utils.clip_grad_value_` does."""
    dense = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()  # sums up rows that occur twice
            parameter.grad.values().clamp_(-clip_value, clip_value)
        else:
            dense.append(parameter)
    _clip_value(dense, clip_value)


def _norm(gradient: Tensor, norm_type: float) -> Tensor:
    values = gradient.coalesce().values() if gradient.is_sparse else gradient
    norm: Tensor = torch.linalg.vector_norm(values, norm_type)
    return norm
