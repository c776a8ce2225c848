"""Tests of triggered averaging against PyTorch's averaged SGD and the paper's algorithm 1."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from allennlp.common.checks import ConfigurationError
from torch import Tensor, nn

from elmo_mf.plugin import NtAsgd, TriggeredAverage


def _step(parameters: list[Tensor], optimizer: torch.optim.Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()


def _linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def test_the_average_is_that_of_torch() -> None:
    """From the fifth step on, it equals ASGD, which averages every step if `lambd=0` and `t0=-1`."""
    model, other = _linear(), _linear()
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    average = TriggeredAverage(model.named_parameters())
    for seed in range(4):
        _step(list(model.parameters()), sgd, seed)
        average.apply(seed)
    other.load_state_dict(model.state_dict())
    asgd = torch.optim.ASGD(other.parameters(), 0.1, lambd=0, alpha=0, t0=-1)
    average.start()
    for seed in range(4, 12):
        _step(list(model.parameters()), sgd, seed)
        average.apply(seed)
        _step(list(other.parameters()), asgd, seed)
    last = model.weight.detach().clone()
    average.assign_average_value()
    for parameter, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter.detach(), asgd.state[theirs]["ax"])
    average.restore()
    assert torch.equal(model.weight, last)


def test_before_it_starts_nothing_is_averaged() -> None:
    model = _linear()
    average = TriggeredAverage(model.named_parameters())
    with torch.no_grad():
        model.weight.add_(1)
    average.apply(1)
    changed = model.weight.detach().clone()
    average.assign_average_value()
    assert torch.equal(model.weight, changed)
    average.restore()
    assert torch.equal(model.weight, changed)


def test_the_average_goes_on_from_a_checkpoint() -> None:
    model = _linear()
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    average = TriggeredAverage(model.named_parameters())
    average.start()
    for seed in range(3):
        _step(list(model.parameters()), sgd, seed)
        average.apply(seed)
    again = _linear()
    again.load_state_dict(model.state_dict())
    resumed = TriggeredAverage(again.named_parameters())
    resumed.load_state_dict(average.state_dict())
    for one, mean, optimizer in ((model, average, sgd), (again, resumed, torch.optim.SGD(again.parameters(), 0.1))):
        _step(list(one.parameters()), optimizer, 9)
        mean.apply(9)
        mean.assign_average_value()
    assert torch.equal(model.weight, again.weight)


def _trainer(average: Any) -> Any:
    return SimpleNamespace(_moving_average=average)


@pytest.mark.parametrize(
    ("patience", "perplexities", "starts"),
    [
        (2, [9, 8, 7, 6, 5], None),
        (2, [9, 8, 7, 8.5, 5], None),  # the best that is more than 2 epochs old is 9
        (2, [9, 8, 7, 9.5, 5], 3),
        (2, [9, 8, 7, 7.5, 8.5], 4),
        (5, [9, 8, 7, 8.5, 8.6, 8.7], None),
        (1, [9, 8, 7.5, 8.5], 3),
    ],
)
def test_the_trigger_is_the_papers(patience: int, perplexities: list[float], starts: int | None, tmp_path: Any) -> None:
    """Averaging starts if the perplexity after t epochs is above the best of the first t - n epochs."""
    average = TriggeredAverage(_linear().named_parameters())
    callback = NtAsgd(str(tmp_path), patience)
    started = []
    for epoch, perplexity in enumerate(perplexities):
        callback.on_epoch(_trainer(average), {"validation_perplexity": perplexity}, epoch)
        started.append(average.started)
    assert started == [starts is not None and epoch >= starts for epoch in range(len(perplexities))]


def test_the_trigger_remembers(tmp_path: Any) -> None:
    average = TriggeredAverage(_linear().named_parameters())
    first, second = NtAsgd(str(tmp_path), 1), NtAsgd(str(tmp_path), 1)
    for epoch, perplexity in enumerate([9, 8, 7]):
        first.on_epoch(_trainer(average), {"validation_perplexity": perplexity}, epoch)
    second.load_state_dict(first.state_dict())
    assert not average.started
    second.on_epoch(_trainer(average), {"validation_perplexity": 8.5}, 3)
    assert average.started


def test_the_learning_rate_goes_with_the_length(tmp_path: Any) -> None:
    optimizer = torch.optim.SGD(_linear().parameters(), 20.0)
    trainer = SimpleNamespace(optimizer=optimizer, data_loader=SimpleNamespace(steps=70))
    callback = NtAsgd(str(tmp_path))
    assert callback.on_backward(trainer, {"steps": 35}, False) is False
    assert optimizer.param_groups[0]["lr"] == 10
    callback.on_batch(trainer, is_training=True)
    assert optimizer.param_groups[0]["lr"] == 20


def test_the_two_parts_belong_together(tmp_path: Any) -> None:
    with pytest.raises(ConfigurationError, match="nt_asgd"):
        NtAsgd(str(tmp_path)).on_start(_trainer(None))
