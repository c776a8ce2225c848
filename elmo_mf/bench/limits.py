"""What the machine can do at best: memory bandwidth and matrix products, measured in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

_COPY_BYTES = 256 * 2**20
_SQUARE = 2048


@dataclass(frozen=True)
class Limits:
    """`copy_gb_s` counts what a large copy reads and writes, `read_gb_s` what a large sum reads; `gflop_s` is a square
    float32 product."""

    copy_gb_s: float
    read_gb_s: float
    gflop_s: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"this machine reads {self.read_gb_s:.1f} GB/s, copies {self.copy_gb_s:.1f} GB/s, "
            f"multiplies at {self.gflop_s:.0f} GFLOP/s"
        )


def measure_limits(device: torch.device, repeats: int = 7) -> Limits:
    """The best of some repeats of each."""
    source = torch.ones(_COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    square = torch.rand(_SQUARE, _SQUARE, device=device)
    out = torch.empty_like(square)
    copy = _best(lambda: target.copy_(source), device, repeats)
    read = _best(lambda: source.sum(), device, repeats)
    product = _best(lambda: torch.mm(square, square, out=out), device, repeats)
    return Limits(2 * _COPY_BYTES / copy / 1e9, _COPY_BYTES / read / 1e9, 2 * _SQUARE**3 / product / 1e9)


def _best(run: Callable[[], object], device: torch.device, repeats: int) -> float:
    return min(seconds(run, device) for _ in range(repeats + 1))


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, the device's work included."""
    synchronize(device)
    started = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - started


def synchronize(device: torch.device) -> None:
    """Wait for a GPU's queue; nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
