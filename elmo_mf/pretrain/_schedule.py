"""Learning-rate schedules with a warm-up."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from elmo_mf.pretrain.settings import Schedule


def scheduler(kind: Schedule, optimizer: Optimizer, peak: float, steps: int, warmup: float) -> LRScheduler:
    """Build a learning-rate scheduler, to be stepped after each step of the optimizer.

    Args:
        kind: `one_cycle` (Smith and Topin 2019) rises and then falls to almost zero along a cosine. The others rise
            linearly; after that, `linear` and `cosine` fall to zero and `constant` stays at the peak.
        optimizer: Optimizer whose learning rate is set.
        peak: Highest learning rate.
        steps: Number of steps of the run.
        warmup: Share of the steps in which the learning rate rises.
    """
    steps = max(steps, 2)
    if kind == "one_cycle":
        # PyTorch divides by the number of rising steps minus one, and by the number of falling steps
        warmup = 0.0 if warmup * steps == 1 else min(warmup, 1 - 0.5 / steps)
        return OneCycleLR(optimizer, peak, total_steps=steps, pct_start=warmup, cycle_momentum=False)
    rising = warmup * steps

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        done = min(1.0, (step - rising) / max(1.0, steps - rising))
        return {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[kind]

    return LambdaLR(optimizer, factor)
