"""Limits of the machine, measured in the same run: memory bandwidth and the speed of matrix products."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from elmo_mf.bilm.runtime import supports


@dataclass(frozen=True)
class Limits:
    """Measured limits of a device.

    Attributes:
        copy_gb_s: Bytes read and written by a large copy, in GB/s.
        read_gb_s: Bytes read by a large sum or by the product of two large matrices and a vector, whichever is faster,
            in GB/s.
        gflop_s: Speed of a square float32 product, in GFLOP/s.
        bfloat16_gflop_s: Speed of a square bfloat16 product, in GFLOP/s; None on a processor without bfloat16
            instructions, where it would take minutes.
    """

    copy_gb_s: float
    read_gb_s: float
    gflop_s: float
    bfloat16_gflop_s: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Return the limits by name."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"this machine reads {self.read_gb_s:.1f} GB/s, copies {self.copy_gb_s:.1f} GB/s, "
            f"multiplies at {self.gflop_s:.0f} GFLOP/s"
            f"{'' if self.bfloat16_gflop_s is None else f', in bfloat16 at {self.bfloat16_gflop_s:.0f}'}"
        )


def measure_limits(
    device: torch.device, repeats: int = 7, copy_bytes: int = 256 * 2**20, square_size: int = 2048
) -> Limits:
    """Measure each limit several times and return the best values.

    Args:
        device: Device to measure.
        repeats: Number of measurements of each limit, after a first one.
        copy_bytes: Bytes of the arrays that are copied and read.
        square_size: Rows of the square matrices that are multiplied.
    """
    source = torch.ones(copy_bytes // 4, device=device)
    target = torch.empty_like(source)
    matrices, vectors = source.view(2, 1024, -1), torch.ones(2, 1, 1024, device=device)
    square = torch.rand(square_size, square_size, device=device)
    copy = _best(lambda: target.copy_(source), device, repeats)
    total = _best(lambda: source.sum(), device, repeats)
    times_vector = _best(lambda: torch.bmm(vectors, matrices), device, repeats)
    bf16 = square.bfloat16() if device.type != "cpu" or supports("bfloat16") else None
    return Limits(
        2 * copy_bytes / copy / 1e9,
        copy_bytes / min(total, times_vector) / 1e9,
        _gflop_s(square, device, repeats),
        None if bf16 is None else _gflop_s(bf16, device, repeats),
    )


def _gflop_s(square: Tensor, device: torch.device, repeats: int) -> float:
    return 2 * len(square) ** 3 / _best(lambda: square @ square, device, repeats) / 1e9


def _best(run: Callable[[], object], device: torch.device, repeats: int) -> float:
    return min(seconds(run, device) for _ in range(repeats + 1))


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Measure the wall time of one call in seconds, including the work on the device."""
    synchronize(device)
    started = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - started


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished its queued work; do nothing for a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
