"""Thresholds between implementations, and which implementations may be used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

Launches = Callable[[], None]
"""A function that launches operations on a device."""

Capture = Callable[[Launches], Launches]
"""Records what a function launches; returns a function that launches it again."""


def capture_cuda_graph(launches: Launches) -> Launches:
    """Capture a CUDA graph.

    `launches` runs a few times before, because libraries initialize themselves when they are first used.
    """
    side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side_stream):
        for _ in range(3):
            launches()
    torch.cuda.current_stream().wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        launches()
    return graph.replay


@dataclass(frozen=True)
class RuntimeSettings:
    """Thresholds between forms of a computation and sizes of its parts, as measured for docs/performance.md.

    Attributes:
        cache_bytes: Size of the input's gates that are computed at once on a CPU, so that they stay in its cache.
        gpu_bytes: Size of the input's gates that are computed at once on a GPU.
        packed_multiply_adds: Multiply-adds of a step's recurrent product, over all sequences, from which PyTorch on a
            CPU runs one direction after the other on packed weights instead of both in each call.
        joint_sequences: Sequences from which PyTorch on a CPU computes a step's gates from one product with the left
            factors of input and recurrent.
        machine_code_ranks_per_sequence: The machine code does the same from this share of the input's rank on:
            rank / `machine_code_ranks_per_sequence` sequences.
        quantized_numbers: Numbers of a dense matrix of the gates from which `int8` keeps it as integers; with fewer,
            bfloat16 in machine code is faster.
        onednn_tanh_numbers: Numbers from which oneDNN's tanh is faster than PyTorch's.
        split_max_rows: Rows up to which a product on a GPU is computed in parts, which keep more of it busy.
        split_min_columns: Columns of a matrix from which its product is.
        split_columns: Columns of each part.
        cnn_words: Words whose vectors the character CNN computes at once in inference on a CPU, so that intermediate
            results stay in the cache.
        table_words: Words whose convolutions are looked up at once, so that their windows stay in the cache.
        table_characters: Characters up to which the tables of all of them are kept, in 50 MB at the published sizes;
            with more, each batch has tables of its own characters.
        graph_steps: A graph has a multiple of this number of steps.
        graph_max_steps: Steps in one graph at most.
        graph_max_tokens: Tokens in one graph at most, except that a graph has at least `graph_steps` steps.
        graph_max_sequences: Sequences up to which graphs are used; with more, kernels take longer than launches.
        graph_captures: How to capture a graph on each type of device that has graphs.
        machine_code: Whether machine code may be used. `ELMO_MF_NATIVE=0` in the environment forbids it too.
        machine_code_lanes: float32 numbers in a vector of the machine code; None for as many as the processor has.
        openmp: Whether machine code runs on the threads of PyTorch's OpenMP where they can be called, instead of on
            threads of its own.
    """

    cache_bytes: int = 16 * 2**20
    gpu_bytes: int = 256 * 2**20
    packed_multiply_adds: float = 2.5e6
    joint_sequences: int = 8
    machine_code_ranks_per_sequence: float = 16
    quantized_numbers: float = 4e6
    onednn_tanh_numbers: int = 16_384
    split_max_rows: int = 1024
    split_min_columns: int = 1024
    split_columns: int = 256
    cnn_words: int = 512
    table_words: int = 128
    table_characters: int = 1024
    graph_steps: int = 8
    graph_max_steps: int = 32
    graph_max_tokens: int = 1024
    graph_max_sequences: int = 128
    graph_captures: Mapping[str, Capture] = field(default_factory=lambda: {"cuda": capture_cuda_graph})
    machine_code: bool = True
    machine_code_lanes: int | None = None
    openmp: bool = True

    def may_compile(self) -> bool:
        """Return whether machine code may be used and can be compiled."""
        allowed = self.machine_code and os.environ.get("ELMO_MF_NATIVE") != "0"
        return allowed and find_spec("llvmlite") is not None

    def tokens_at_once(self, bias: Tensor) -> int:
        """Return the number of tokens whose input gates are computed by one product.

        Args:
            bias: The gates' bias, of all directions that run together.
        """
        gates_bytes = 4 * bias.numel()
        return (self.cache_bytes if bias.device.type == "cpu" else self.gpu_bytes) // gates_bytes

    def __deepcopy__(self, memo: dict[int, object]) -> RuntimeSettings:
        return self


_default = RuntimeSettings()


def default_settings() -> RuntimeSettings:
    """Return the settings of layers that are built without any."""
    return _default


@contextmanager
def use_settings(**changes: Any) -> Iterator[RuntimeSettings]:
    """Change the default settings of this process while the context is entered.

    Layers keep the settings that they were built with.

    Args:
        **changes: Fields of `RuntimeSettings`.

    Example:
        >>> from elmo_mf.bilm.runtime_settings import use_settings
        >>> with use_settings(machine_code=False) as settings:
        ...     settings.machine_code
        False
    """
    global _default
    before, _default = _default, replace(_default, **changes)
    try:
        yield _default
    finally:
        _default = before
