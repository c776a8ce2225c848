"""The projected LSTM in inference on a GPU: several steps in one CUDA graph.

A step of a small batch is a dozen kernels that each take less time to run than to launch; a graph launches them all at
once. Its shapes are fixed: a number of steps of a batch of a power of two. What it computes for sequences that have
ended is left where it is.

Not yet tried on a GPU, and so used only where the environment says `ELMO_MF_CUDA_GRAPHS=1`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from elmo_mf.bilm.packing import State

if TYPE_CHECKING:
    from elmo_mf.bilm.lstm import ProjectedLstm

Run = Callable[[], None]
STEPS = 8
_MOST_SEQUENCES = 64


def suits_graphs(device: torch.device, sequences: int) -> bool:
    """Whether launches are what takes the time, and nothing is under way that a graph cannot be part of."""
    if device.type != "cuda" or os.environ.get("ELMO_MF_CUDA_GRAPHS") != "1" or sequences > _MOST_SEQUENCES:
        return False
    return not (torch.is_autocast_enabled("cuda") or torch.cuda.is_current_stream_capturing())


def cuda_graph(run: Run) -> Run:
    """What `run` launches, captured; called a few times before, because libraries set themselves up when first used."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        run()
    return graph.replay


class GraphedLstm:
    """All directions of a layer.

    # Parameters
    lstm: whose weights. They must stay where they are.
    capture: makes a call that repeats what another does on a GPU.
    """

    def __init__(self, lstm: ProjectedLstm, capture: Callable[[Run], Run] = cuda_graph) -> None:
        self.lstm, self.capture = lstm, capture
        self._steps: dict[int, _Steps] = {}

    def __call__(self, inputs: Tensor, batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        """As `ProjectedLstm.forward`."""
        batch = batch_sizes[0]
        steps = self._of(1 << (batch - 1).bit_length(), inputs)
        steps.h.zero_()[:, :batch], steps.c.zero_()[:, :batch] = state
        outputs = inputs.new_empty(*inputs.shape[:2], self.lstm.state_size)
        last_h, last_c = (torch.empty_like(part) for part in state)
        places, ends = (index.to(inputs.device) for index in _places(batch_sizes, steps.h.shape[1]))
        starts = [0, *accumulate(batch_sizes)]
        for first in range(0, len(batch_sizes), STEPS):
            after = min(first + STEPS, len(batch_sizes))
            tokens = slice(starts[first], starts[after])
            still = batch_sizes[after] if after < len(batch_sizes) else 0
            ending = slice(still, batch_sizes[first])
            steps.gates.flatten(1, 2).index_copy_(1, places[tokens], self.lstm.input_part(inputs[:, tokens]))
            steps.run()
            outputs[:, tokens] = steps.every_h.flatten(1, 2).index_select(1, places[tokens])
            last_h[:, ending] = steps.every_h.flatten(1, 2).index_select(1, ends[ending])
            last_c[:, ending] = steps.every_c.flatten(1, 2).index_select(1, ends[ending])
        return outputs, (last_h, last_c)

    def _of(self, batch: int, like: Tensor) -> _Steps:
        if batch not in self._steps:
            with torch.inference_mode(False), torch.no_grad():
                self._steps[batch] = _Steps(self.lstm, batch, like, self.capture)
        return self._steps[batch]


class _Steps:
    """`STEPS` steps of a batch: what they read and write, always in the same place.

    `gates` (G, STEPS, batch, width) is the input's part; `h` (G, batch, p) and `c` (G, batch, n) are where they start,
    and then where they end; `every_h` and `every_c` are those of each step.
    """

    def __init__(self, lstm: ProjectedLstm, batch: int, like: Tensor, capture: Callable[[Run], Run]) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(len(lstm.bias), *shape, dtype=like.dtype, device=like.device)

        n, p = lstm.cell_size, lstm.state_size
        self.lstm = lstm
        self.gates = zeros(STEPS, batch, lstm.input.left.shape[2])
        self.h, self.c = zeros(batch, p), zeros(batch, n)
        self.every_h, self.every_c = zeros(STEPS, batch, p), zeros(STEPS, batch, n)
        self.run = capture(self._run)

    @torch.no_grad()
    def _run(self) -> None:
        h, c = self.h, self.c
        for step in range(STEPS):
            h, c = self.lstm.step(self.gates[:, step], h, c)
            self.every_h[:, step], self.every_c[:, step] = h, c
        self.h.copy_(h)
        self.c.copy_(c)


def _places(batch_sizes: list[int], batch: int) -> tuple[Tensor, Tensor]:
    """Where packed tokens lie among `STEPS` times `batch`, and where the last one of each sequence does."""
    sizes = torch.tensor(batch_sizes)
    starts = torch.arange(len(sizes)) % STEPS * batch
    places = torch.cat([start + torch.arange(size) for start, size in zip(starts, batch_sizes, strict=True)])
    lengths = (sizes.unsqueeze(1) > torch.arange(batch_sizes[0])).sum(dim=0)
    return places, starts[lengths - 1] + torch.arange(batch_sizes[0])
