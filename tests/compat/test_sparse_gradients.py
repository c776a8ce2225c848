"""Tests that clipping gives the same result for sparse gradients as for equal dense ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import allennlp.training.util as training_util
import pytest
import torch
from allennlp.training import GradientDescentTrainer

ROWS = torch.tensor([0, 2, 2, 1])


def _model(sparse: bool) -> torch.nn.Module:
    """Build a model with gradients in which one row occurs twice."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(4, 3, sparse=sparse), torch.nn.Linear(3, 2))
    (10 * model(ROWS).square().sum()).backward()
    return model


def _gradients(model: torch.nn.Module) -> list[torch.Tensor]:
    return [p.grad.to_dense() if p.grad.is_sparse else p.grad for p in model.parameters() if p.grad is not None]


def _trainer(model: torch.nn.Module, **settings: Any) -> Any:
    fields = {"model": model, "_grad_norm": False, "_grad_clipping": None, "_scaler": None, "_ddp_wrapped_model": None}
    return SimpleNamespace(**fields | settings)


@pytest.mark.parametrize("most", [0.5, 1e9])
@pytest.mark.parametrize("by", ["trainer", "util"])
def test_norm(most: float, by: str) -> None:
    sparse, dense = _model(True), _model(False)
    if by == "trainer":
        norm = GradientDescentTrainer.rescale_gradients(_trainer(sparse, _grad_norm=most))
    else:
        norm = training_util.rescale_gradients(sparse, most)
    expected = torch.nn.utils.clip_grad_norm_(dense.parameters(), most)
    assert float(norm) == pytest.approx(float(expected), rel=1e-6) and float(norm) > 0.5
    torch.testing.assert_close(_gradients(sparse), _gradients(dense))


def test_norm_alone() -> None:
    """`grad_norm: true` returns the norm without clipping."""
    sparse, dense = _model(True), _model(False)
    norm = GradientDescentTrainer.rescale_gradients(_trainer(sparse, _grad_norm=True))
    assert norm == pytest.approx(float(torch.nn.utils.get_total_norm(_gradients(dense))), rel=1e-6)


def test_values() -> None:
    sparse, dense = _model(True), _model(False)
    GradientDescentTrainer.clip_gradient(_trainer(sparse, _grad_clipping=0.1))
    torch.nn.utils.clip_grad_value_(dense.parameters(), 0.1)
    torch.testing.assert_close(_gradients(sparse), _gradients(dense))
    assert max(float(gradient.abs().max()) for gradient in _gradients(sparse)) == pytest.approx(0.1)


def test_torchs_own_is_untouched() -> None:
    assert torch.nn.utils.clip_grad_value_.__module__.startswith("torch")
    assert torch.nn.utils.clip_grad_norm_.__module__.startswith("torch")
