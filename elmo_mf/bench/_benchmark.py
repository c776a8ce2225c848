"""A complete benchmark: weights, variants, cases and results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from elmo_mf.bench._cases import Case
from elmo_mf.bench._limits import Limits, measure_limits
from elmo_mf.bench._measure import Timing, measure
from elmo_mf.bench._sizes import published_options
from elmo_mf.bench._variants import AllenNlp, Ours, TorchLstm, Variant, WordCache
from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.initialization import random_weights
from elmo_mf.bilm.runtime import Precision, supports
from elmo_mf.progress import stage
from elmo_mf.provenance import gpu_name, provenance
from elmo_mf.records import Compression
from elmo_mf.tabular import Tabular

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class BenchResult(Tabular):
    """Timings of a benchmark by case.

    Attributes:
        encoder: Name of the ELMo.
        device: Device on which it ran.
        limits: Limits of the machine.
        timings: Timings of the encoders in each case.
    """

    encoder: str
    device: torch.device
    limits: Limits
    timings: dict[Case, list[Timing]]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values, with versions and a description of the machine."""
        cases = [
            {
                "part": case.part,
                "batch": len(case.lengths),
                "lengths": list(case.lengths),
                "variants": [timing.to_dict(self.limits) for timing in timings],
            }
            for case, timings in self.timings.items()
        ]
        return {
            "encoder": self.encoder,
            "limits": self.limits.to_dict(),
            "cases": cases,
            **provenance(self.device).to_dict(),
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each case and encoder; the columns from `median_ms` on are attributes of `Timing`."""
        import pandas as pd

        rows = [
            {"part": case.part, "batch": len(case.lengths), "length": case.length, "encoder": timing.variant}
            | {name: getattr(timing, name) for name in _MEASURED}
            for case, timings in self.timings.items()
            for timing in timings
        ]
        return pd.DataFrame(rows)

    def notes(self) -> list[str]:
        """Return the machine and its limits."""
        machine = gpu_name(self.device) or f"{torch.get_num_threads()} threads"
        return [f"{self.encoder}; {machine}; {self.limits}", *_LEGEND]


_MEASURED = ("median_ms", "ratio", "gb_s", "gflop_s", "error")
_LEGEND = (
    "GFLOP/s: counts all words and windows that AllenNLP computes; above 100% where work is skipped",
    "error: largest difference from AllenNLP's vectors, or from those with float32 weights",
)


@contextmanager
def elmo_of_size(size: str) -> Iterator[tuple[Path, Path]]:
    """Provide the options file and weight file of a random ELMo of a published size, deleted after the context."""
    options = published_options(size)
    with TemporaryDirectory() as folder:
        with stage("random weights", 1, "ELMo"):
            Bilm(options, random_weights(options, seed=0)).save(folder)
        yield Path(folder) / "options.json", Path(folder) / "weights.hdf5"


def run_bench(
    encoder: str,
    files: tuple[Path, Path],
    compressions: list[Compression],
    precisions: list[Precision],
    cases: list[Case],
    device: torch.device,
    budget: float,
    done: Callable[[Case, list[Timing], Limits], None] = lambda *_: None,
) -> BenchResult:
    """Compare AllenNLP's encoder with the dense and the compressed ones in every case.

    Args:
        encoder: Name of the encoder in the result.
        files: Options file and weight file of a dense ELMo.
        compressions: Compressions to compare.
        precisions: Precisions to run in addition to float32, on a CPU; those that it does not support natively are
            skipped.
        cases: Cases to run.
        device: Device to run on.
        budget: Time in seconds to spend on each case.
        done: Called after each case with its timings and the limits of the machine.

    Raises:
        InputError: A file or a compression is invalid.
    """
    variants = _variants(files, compressions, precisions, cases, device)
    with stage("limits of the machine", 1, "measurement"):
        limits = measure_limits(device)
    timings = {}
    for case in cases:
        timings[case] = measure(case, [v for v in variants if v.runs(case)], device, budget)
        done(case, timings[case], limits)
    return BenchResult(encoder, device, limits, timings)


def _variants(
    files: tuple[Path, Path],
    compressions: list[Compression],
    precisions: list[Precision],
    cases: list[Case],
    device: torch.device,
) -> list[Variant]:
    """Load the encoders to compare."""
    lower = [p for p in precisions if p != "float32" and supports(p)] if device.type == "cpu" else []
    with stage("loading the encoders", 2 + len(compressions), "encoders") as advance:
        dense = Ours(*files, None, device)
        advance()
        variants: list[Variant] = [AllenNlp(*files, dense.size, device)]
        variants.append(TorchLstm(dense.bilm.options.lstm, dense.size, device))
        for ours in [dense, *(Ours(*files, compression, device) for compression in compressions)]:
            variants += [ours, *(ours.in_precision(precision) for precision in lower)]
            advance()
    if device.type == "cpu" and any(case.part == "characters" for case in cases):
        variants.append(WordCache(*files, dense.size))
    return variants
