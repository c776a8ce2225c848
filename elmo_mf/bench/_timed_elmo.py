"""Benchmark of a given ELMo, or of one of a published size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from elmo_mf.bench._benchmark import BenchResult, elmo_of_size, run_bench
from elmo_mf.bench._cases import PARTS, Case, Part, cases
from elmo_mf.bench._limits import Limits
from elmo_mf.bench._measure import Timing
from elmo_mf.bilm.checkpoint_files import checkpoint_files
from elmo_mf.bilm.choices import PRECISIONS, Precision
from elmo_mf.devices import usable_device
from elmo_mf.errors import InputError, absent, any_of
from elmo_mf.records import Compression

if TYPE_CHECKING:
    import torch


def benchmark(
    options: str | Path | None = None,
    weights: str | Path | None = None,
    *,
    size: str = "original",
    compressions: Sequence[Compression] = (),
    precisions: Sequence[Precision] = PRECISIONS,
    parts: Sequence[Part] = ("lstm", "encoder"),
    batches: Sequence[int] = (1, 8, 32),
    lengths: Sequence[int] = (20, 150, 500),
    ragged: bool = True,
    seconds: float = 10,
    device: str | torch.device = "cpu",
    done: Callable[[Case, list[Timing], Limits], None] = lambda *_: None,
) -> BenchResult:
    """Time AllenNLP's encoder, the dense encoder and compressed ones in turns; `elmo-mf bench` calls this function.

    Args:
        options: `options.json` of an ELMo; or, without `weights`, a folder or a zip with all its files. Defaults to
            random weights.
        weights: Weights of the ELMo, HDF5.
        size: Size of random weights: `small`, `medium` or `original`. Defaults to `original`.
        compressions: Compressions to time too.
        precisions: Precisions of the weights to time in addition to float32, as far as the processor supports them.
        parts: What to time: `characters` (the character CNN alone), `lstm` (the biLSTM alone), `encoder` (all of it).
        batches: Batch sizes in sentences.
        lengths: Sentence lengths in tokens.
        ragged: Whether to add the largest batch with lengths between half the shortest length and that length.
        seconds: Time for each case in seconds; at least three rounds are run. Defaults to 10.
        device: `cpu`, `cuda` or `cuda:N`. Defaults to the CPU.
        done: Called after each case with its timings and the limits of the machine.

    Returns:
        The times of all encoders in every case.

    Raises:
        InputError: A file cannot be read, or an argument has a value that it cannot have.

    Examples:
        >>> from elmo_mf import Compression, benchmark
        >>> small = Compression(method="svd", targets="all", rank=16)
        >>> grid = {"parts": ["lstm"], "batches": [1], "lengths": [8], "ragged": False, "precisions": []}
        >>> result = benchmark("weights/demo", compressions=[small], seconds=0, **grid)
        >>> sorted(result.to_pandas()["encoder"])
        ['AllenNLP', 'dense', 'svd all rank 16', 'torch.nn.LSTM']
    """
    _check("parts", parts, PARTS)
    _check("precisions", precisions, PRECISIONS)
    for name, numbers in (("batches", batches), ("lengths", lengths)):
        if not numbers or min(numbers) < 1:
            raise InputError(name, f"found {list(numbers)}, expected integers of at least 1")
    where, chosen = usable_device(device), cases(parts, batches, lengths, ragged)
    with _elmo(options, weights, size) as (name, files):
        return run_bench(name, files, list(compressions), list(precisions), chosen, where, seconds, done)


@contextmanager
def _elmo(options: str | Path | None, weights: str | Path | None, size: str) -> Iterator[tuple[str, tuple[Path, Path]]]:
    """Provide the name and the files of an ELMo."""
    if options is None:
        if weights is not None:
            raise InputError("options", absent(f"the options.json of the weights {weights}"))
        with elmo_of_size(size) as files:
            yield f"{size}, random weights", files
    else:
        with checkpoint_files(options, weights) as given:
            yield str(weights or options), (given.options, given.weights)


def _check(name: str, values: Sequence[str], known: Sequence[str]) -> None:
    for value in values:
        if value not in known:
            raise InputError(name, f"found {value!r}, {any_of(value, known)}")
