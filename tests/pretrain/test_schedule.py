"""Tests of the learning-rate schedules."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from elmo_mf.pretrain._schedule import scheduler
from elmo_mf.pretrain.settings import SCHEDULES, Schedule


@pytest.mark.parametrize("kind", SCHEDULES)
@given(steps=st.integers(1, 50), warmup=st.one_of(st.floats(0, 1), st.integers(1, 20).map(lambda n: 1 / n)))
@example(steps=20, warmup=0.05)  # a rise of one step
@example(steps=1, warmup=1.0)
def test_every_step_has_a_rate(kind: Schedule, steps: int, warmup: float) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.5)
    schedule = scheduler(kind, optimizer, 0.5, steps, warmup)
    rates = []
    for _ in range(steps):
        rates.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    assert all(0 <= rate <= 0.5 + 1e-9 for rate in rates)
    highest = rates.index(max(rates))
    assert rates[: highest + 1] == sorted(rates[: highest + 1])
    assert rates[highest:] == sorted(rates[highest:], reverse=True)
