"""Timing of the variants of a case, which alternate in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from elmo_mf.bench._cases import Case
from elmo_mf.bench._limits import Limits, seconds
from elmo_mf.bench._variants import BASELINE, Variant, quantized
from elmo_mf.bilm.runtime import Precision
from elmo_mf.compression import MatrixSize
from elmo_mf.progress import stage

_WARM_UP = 20  # share of the progress, in per cent


@dataclass(frozen=True)
class Timing:
    """Timing of one variant in one case.

    Attributes:
        variant: Name of the variant.
        median_ms: Median time of one batch.
        spread_ms: 25th and 75th percentile of the time of one batch.
        rounds: Number of rounds.
        ratio: Median over the rounds of AllenNLP's time divided by this variant's; None without AllenNLP.
        gb_s: Weights that must be read, in GB/s: those of the recurrence once per step, those of the input once.
        gflop_s: Two operations per multiply-add of every token, in GFLOP/s, including operations that are skipped
            because words repeat or convolutions are looked up.
        precision: Precision of the products.
        error: Largest difference from the vectors of `error_to`; None if there is no such variant.
        error_to: Variant that should give the same vectors: AllenNLP for the dense encoder, float32 for other
            precisions.
    """

    variant: str
    median_ms: float
    spread_ms: tuple[float, float]
    rounds: int
    ratio: float | None
    gb_s: float
    gflop_s: float
    precision: Precision
    error: float | None
    error_to: str | None

    def to_dict(self, limits: Limits) -> dict[str, object]:
        """Return the timing as JSON values, with the shares of the machine's limits."""
        return asdict(self) | {"read_share": self.read_share(limits), "product_share": self.product_share(limits)}

    def read_share(self, limits: Limits) -> float:
        """Compute the share of the machine's reading bandwidth."""
        return self.gb_s / limits.read_gb_s

    def product_share(self, limits: Limits) -> float:
        """Compute the share of the machine's product speed, in bfloat16 for every precision except float32."""
        peak = None if self.precision == "float32" else limits.bfloat16_gflop_s
        return self.gflop_s / (peak or limits.gflop_s)


def measure(
    case: Case, variants: list[Variant], device: torch.device, budget: float, least_rounds: int = 3
) -> list[Timing]:
    """Time the variants of a case, which run in turns, each round starting with another one.

    The first call of each variant is a warm-up, and its vectors are compared.

    Args:
        case: The case.
        variants: The variants that take part in it.
        device: Device to run on.
        budget: Seconds to spend, without the first calls.
        least_rounds: Smallest number of rounds, whatever they take. Defaults to 3.

    Returns:
        The timing of each variant.
    """
    with torch.inference_mode(), stage(f"timing {case}", 100, "%") as advance:
        runs = [variant.prepare(case, device) for variant in variants]
        outputs = []
        for run in runs:
            outputs.append(run())
            advance(_WARM_UP / len(runs))
        errors = _errors(variants, outputs)
        del outputs
        times = interleaved(runs, device, budget, least_rounds, lambda share: advance((100 - _WARM_UP) * share))
    names = [variant.name for variant in variants]
    baseline = times[names.index(BASELINE)] if BASELINE in names else None
    return [
        _timing(case, variant, variant_times, baseline, error)
        for variant, variant_times, error in zip(variants, times, errors, strict=True)
    ]


def interleaved(
    runs: Sequence[Callable[[], object]],
    device: torch.device,
    budget: float,
    least_rounds: int,
    advance: Callable[[float], None] = lambda share: None,
) -> list[np.ndarray]:
    """Time functions that run in turns, each round starting with another one.

    Args:
        runs: The functions.
        device: Device that they run on.
        budget: Seconds to spend.
        least_rounds: Smallest number of rounds, whatever they take.
        advance: Called with the share of the whole that each call was.

    Returns:
        The seconds of each function's calls, one array (rounds,) for each function.
    """
    times: list[list[float]] = [[] for _ in runs]
    spent, rounds, reported = 0.0, 0, 0.0
    while rounds < least_rounds or spent < budget:
        for number, index in enumerate(np.roll(np.arange(len(runs)), rounds).tolist(), 1):
            times[index].append(seconds(runs[index], device))
            spent += times[index][-1]
            done = min(1.0, spent / budget if budget else 1.0, (rounds + number / len(runs)) / least_rounds)
            advance(done - reported)
            reported = done
        rounds += 1
    return [np.array(run_times) for run_times in times]


def _errors(variants: list[Variant], outputs: list[torch.Tensor]) -> list[float | None]:
    by_name = {variant.name: output for variant, output in zip(variants, outputs, strict=True)}
    return [
        float((output - by_name[variant.same_as]).abs().max()) if variant.same_as in by_name else None
        for variant, output in zip(variants, outputs, strict=True)
    ]


def _timing(
    case: Case, variant: Variant, times: np.ndarray, baseline: np.ndarray | None, error: float | None
) -> Timing:
    median = float(np.median(times))
    read, products = work(case, variant)
    return Timing(
        variant=variant.name,
        median_ms=1000 * median,
        spread_ms=(1000 * float(np.percentile(times, 25)), 1000 * float(np.percentile(times, 75))),
        rounds=len(times),
        ratio=None if baseline is None else float(np.median(baseline / times)),
        gb_s=read / median / 1e9,
        gflop_s=2 * products / median / 1e9,
        precision=variant.precision,
        error=error,
        error_to=None if error is None else variant.same_as,
    )


def work(case: Case, variant: Variant) -> tuple[float, float]:
    """Count what one batch needs at least.

    Args:
        case: The part of the encoder, and the batch.
        variant: The encoder.

    Returns:
        Bytes of weights that are read, and multiply-adds.
    """
    size = variant.size
    read = products = 0
    if case.part != "characters":
        each_step = sum(_bytes(row, variant) for row in size.matrices if row.target != "input")
        once = sum(_bytes(row, variant) for row in size.matrices if row.target == "input")
        read, products = each_step * case.steps + once, size.lstm_multiply_adds * case.tokens
    if case.part != "lstm":
        read += variant.around_bytes
        products += size.around_multiply_adds * case.tokens
    return float(read), float(products)


def _bytes(matrix: MatrixSize, variant: Variant) -> int:
    """Return the size of a matrix in the variant's precision, see `Bilm`."""
    if variant.precision == "float32":
        return matrix.bytes
    return matrix.parameters * (1 if variant.precision == "int8" and quantized(matrix) else 2)
