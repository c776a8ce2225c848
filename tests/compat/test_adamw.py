"""Tests of the optimizer `huggingface_adamw` against its formula in NumPy, and against torch where both agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from allennlp.common import Params
from allennlp.training.optimizers import Optimizer

GRADIENTS = np.random.default_rng(1).normal(size=(6, 5))
START = np.random.default_rng(2).normal(size=5)


def _optimizer(parameter: torch.Tensor, **keys: Any) -> Any:
    params = Params({"type": "huggingface_adamw", **keys})
    return Optimizer.from_params(params, model_parameters=[("weight", parameter)])


def _stepped(optimizer: Any, parameter: torch.nn.Parameter) -> list[np.ndarray]:
    steps = []
    for gradient in GRADIENTS:
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        steps.append(parameter.detach().numpy().copy())
    return steps


def _reference(lr: float, betas: tuple[float, float], eps: float, weight_decay: float, correct: bool) -> list[Any]:
    w, m, v, steps = START.copy(), np.zeros(5), np.zeros(5), []
    for t, g in enumerate(GRADIENTS, 1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        rate = lr * np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) if correct else lr
        w = w - rate * m / (np.sqrt(v) + eps)
        w = w - lr * weight_decay * w
        steps.append(w)
    return steps


@pytest.mark.parametrize("correct", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_formula(correct: bool, weight_decay: float) -> None:
    parameter = torch.nn.Parameter(torch.from_numpy(START.copy()))
    keys = {"lr": 0.05, "betas": (0.8, 0.95), "eps": 0.01, "weight_decay": weight_decay}
    steps = _stepped(_optimizer(parameter, correct_bias=correct, **keys), parameter)
    np.testing.assert_allclose(steps, _reference(correct=correct, **keys), rtol=1e-12)  # type: ignore[arg-type]


def test_defaults() -> None:
    """The defaults are those of AllenNLP's wrapper, with bias correction."""
    parameter = torch.nn.Parameter(torch.from_numpy(START.copy()))
    steps = _stepped(_optimizer(parameter), parameter)
    np.testing.assert_allclose(steps, _reference(1e-5, (0.9, 0.999), 1e-8, 0.0, True), rtol=1e-12)


def test_torchs_adam_where_nothing_differs() -> None:
    ours, theirs = (torch.nn.Parameter(torch.from_numpy(START.copy())) for _ in range(2))
    steps = _stepped(_optimizer(ours, lr=0.05, eps=1e-30), ours)
    expected = _stepped(torch.optim.Adam([theirs], lr=0.05, eps=1e-30), theirs)
    np.testing.assert_allclose(steps, expected, rtol=1e-10)


def test_its_state_is_kept() -> None:
    """Six steps give the same weights with and without a checkpoint after the third, with a parameter group."""
    whole, part = (torch.nn.Parameter(torch.from_numpy(START.copy())) for _ in range(2))
    groups = [[["nothing", "weight"], {"weight_decay": 0.2}]]
    expected = _stepped(_optimizer(whole, lr=0.05, parameter_groups=groups), whole)
    first = _optimizer(part, lr=0.05, parameter_groups=groups)
    for gradient in GRADIENTS[:3]:
        part.grad = torch.from_numpy(gradient)
        first.step()
    second = _optimizer(part, lr=0.05, parameter_groups=groups)
    second.load_state_dict(first.state_dict())
    for gradient in GRADIENTS[3:]:
        part.grad = torch.from_numpy(gradient)
        second.step()
    np.testing.assert_allclose(part.detach().numpy(), expected[-1], rtol=1e-12)


@pytest.mark.parametrize("keys", [{"lr": -1.0}, {"betas": (1.0, 0.9)}, {"eps": -1e-8}])
def test_out_of_range(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"AdamW: {next(iter(keys))}: found"):
        _optimizer(torch.nn.Parameter(torch.zeros(2)), **keys)


def test_sparse_gradients_are_refused() -> None:
    embedding = torch.nn.Embedding(4, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="found sparse gradients"):
        _optimizer(embedding.weight).step()
