"""Learning rates over a run: each rises linearly first, for a share of the steps."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from elmo_mf.pretrain.settings import Schedule


def scheduler(kind: Schedule, optimizer: Optimizer, peak: float, steps: int, warmup: float) -> LRScheduler:
    """One that is stepped after each of `steps` steps.

    Args:
        kind: after the rise, `one_cycle` (Smith and Topin 2019) falls to nearly nothing as a cosine and rises as one
            too; `linear` and `cosine` fall to zero; `constant` stays.
        peak: the highest learning rate.
        warmup: share of the steps in which it rises.
    """
    steps = max(steps, 2)
    if kind == "one_cycle":
        # PyTorch divides by the steps of the rise less one, and by those of the fall
        warmup = 0.0 if warmup * steps == 1 else min(warmup, 1 - 0.5 / steps)
        return OneCycleLR(optimizer, peak, total_steps=steps, pct_start=warmup, cycle_momentum=False)
    rising = warmup * steps

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        done = min(1.0, (step - rising) / max(1.0, steps - rising))
        return {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[kind]

    return LambdaLR(optimizer, factor)
