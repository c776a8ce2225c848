"""The projected LSTM in inference on a GPU: several steps in one CUDA graph.

A step of a small batch is kernels that each take less time to run than to launch; a graph launches those of several
steps at once. Its shapes are fixed: a number of steps of a batch of a power of two. What it computes for sequences that
have ended is left where it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from elmo_mf.bilm.packing import State

if TYPE_CHECKING:
    from elmo_mf.bilm.lstm import ProjectedLstm

Run = Callable[[], None]
STEPS = 8  # a graph has a multiple of it
_MOST_STEPS, _MOST_TOKENS = 32, 1024  # in one graph
_MOST_SEQUENCES = 128  # measured: with more, kernels take longer than launches


def suits_graphs(device: torch.device, sequences: int) -> bool:
    """Whether launches are what takes the time, and nothing is under way that a graph cannot be part of.

    Never where the environment says `ELMO_MF_CUDA_GRAPHS=0`.
    """
    if device.type != "cuda" or os.environ.get("ELMO_MF_CUDA_GRAPHS") == "0" or sequences > _MOST_SEQUENCES:
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


class CudaGraphLstm:
    """All directions of a layer.

    Args:
        lstm: whose weights. They must stay where they are.
        capture: makes a call that repeats what another does on a GPU.
    """

    def __init__(self, lstm: ProjectedLstm, capture: Callable[[Run], Run] = cuda_graph) -> None:
        self.lstm, self.capture = lstm, capture
        self._states: dict[int, State] = {}
        self._graphs: dict[tuple[int, int], _Graph] = {}

    def __call__(self, inputs: Tensor, batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        """As `ProjectedLstm.forward`."""
        batch, directions = batch_sizes[0], len(inputs)
        rows = 1 << (batch - 1).bit_length()
        runs = list(_runs(len(batch_sizes), rows))
        places, last = _places(tuple(batch_sizes), rows, inputs.device)
        tokens = sum(steps for _, steps in runs) * rows
        padded = inputs.new_zeros(directions, tokens, inputs.shape[2]).index_copy_(1, places, inputs)
        states = inputs.new_empty(directions, tokens, self.lstm.state_size)
        last_c = torch.empty_like(state[1])
        h, c = self._state(rows, inputs)
        h[:, :batch], c[:, :batch] = state
        for first, steps in runs:
            graph, own = self._graph(rows, steps, inputs), slice(first * rows, (first + steps) * rows)
            graph.inputs.copy_(padded[:, own])
            graph.run()
            states[:, own] = graph.every_h.flatten(1, 2)
            still = batch_sizes[first + steps] if first + steps < len(batch_sizes) else 0
            if still < batch_sizes[first]:
                ending = slice(still, batch_sizes[first])
                last_c[:, ending] = graph.every_c.flatten(1, 2).index_select(1, last[ending] - first * rows)
        return states.index_select(1, places), (states.index_select(1, last), last_c)

    def _state(self, rows: int, like: Tensor) -> State:
        if rows not in self._states:
            directions, n, p = len(self.lstm.bias), self.lstm.cell_size, self.lstm.state_size
            with torch.inference_mode(False):
                self._states[rows] = like.new_zeros(directions, rows, p), like.new_zeros(directions, rows, n)
        return self._states[rows]

    def _graph(self, rows: int, steps: int, like: Tensor) -> _Graph:
        if (rows, steps) not in self._graphs:
            state = [part.clone() for part in self._states[rows]]
            with torch.inference_mode(False), torch.no_grad():
                graph = _Graph(self.lstm, self._states[rows], steps, like, self.capture)
            for part, before in zip(self._states[rows], state, strict=True):
                part.copy_(before)  # trying the graph out has changed it
            self._graphs[rows, steps] = graph
        return self._graphs[rows, steps]


class _Graph:
    """Some steps of a batch: what they read and write, always in the same place.

    `inputs` (G, steps * rows, d); `state` is where they start, and then where they end; `every_h` and `every_c`
    (G, steps, rows, ...) are those of each step.
    """

    def __init__(
        self, lstm: ProjectedLstm, state: State, steps: int, like: Tensor, capture: Callable[[Run], Run]
    ) -> None:
        directions, rows, n = state[1].shape
        self.lstm, self.state = lstm, state
        self.inputs = like.new_zeros(directions, steps * rows, like.shape[2])
        self.every_h = like.new_zeros(directions, steps, rows, lstm.state_size)
        self.every_c = like.new_zeros(directions, steps, rows, n)
        self.run = capture(self._run)

    @torch.no_grad()
    def _run(self) -> None:
        states, rows = [self.state], self.state[0].shape[1]
        for gates in torch.split(self.lstm.input_part(self.inputs), rows, dim=1):
            states.append(self.lstm.step(gates, *states[-1]))
        hs, cs = zip(*states[1:], strict=True)
        for every, last, own in ((self.every_h, self.state[0], hs), (self.every_c, self.state[1], cs)):
            torch.stack(own, dim=1, out=every)
            last.copy_(own[-1])


def _runs(length: int, rows: int) -> Iterator[tuple[int, int]]:
    """Where each graph begins among so many steps of so many rows, and how many it has."""
    most = max(STEPS, min(_MOST_STEPS, _MOST_TOKENS // rows))
    for first in range(0, length, most):
        yield first, min(most, -(-(length - first) // STEPS) * STEPS)


@lru_cache(maxsize=1)  # all layers have the same
@torch.inference_mode(False)
def _places(batch_sizes: tuple[int, ...], rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where packed tokens lie among steps of `rows`, and where the last one of each sequence does."""
    sizes = torch.tensor(batch_sizes)
    steps = torch.arange(len(sizes)).repeat_interleave(sizes)
    sequences = torch.arange(len(steps)) - (sizes.cumsum(0) - sizes)[steps]
    lengths = (sizes.unsqueeze(1) > torch.arange(batch_sizes[0])).sum(dim=0)
    last = (lengths - 1) * rows + torch.arange(batch_sizes[0])
    return (steps * rows + sequences).to(device), last.to(device)
