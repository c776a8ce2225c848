"""The projected LSTM in inference on a GPU: several steps in one CUDA graph.

In a step of a small batch, each kernel takes less time to run than to launch; a graph launches those of several steps
at once. Its shapes are fixed: a number of steps of a batch whose size is a power of two. Its results for sequences that
have ended are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from elmo_mf.bilm.lstm_formula import LstmFormula
from elmo_mf.bilm.packing import State
from elmo_mf.bilm.runtime_settings import Capture, RuntimeSettings, capture_cuda_graph


class CudaGraphLstm:
    """All directions of a layer, a `Runtime`.

    Args:
        lstm: Parameters and formula. The parameters must stay where they are; their values may change.
        settings: Thresholds.
        capture: Records a graph. Defaults to CUDA's.
    """

    def __init__(self, lstm: LstmFormula, settings: RuntimeSettings, capture: Capture = capture_cuda_graph) -> None:
        self.lstm, self.settings, self.capture = lstm, settings, capture
        self._states: dict[int, State] = {}
        self._graphs: dict[tuple[int, int], _Graph] = {}

    def __call__(self, inputs: Tensor, batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        """Run the recurrence, see `Runtime`."""
        batch, directions = batch_sizes[0], len(inputs)
        rows = 1 << (batch - 1).bit_length()
        spans = list(_graph_spans(len(batch_sizes), rows, self.settings))
        places, last = _padded_places(tuple(batch_sizes), rows, inputs.device)
        tokens = sum(steps for _, steps in spans) * rows
        padded = inputs.new_zeros(directions, tokens, inputs.shape[2]).index_copy_(1, places, inputs)
        states = inputs.new_empty(directions, tokens, self.lstm.state_size)
        last_c = torch.empty_like(state[1])
        h, c = self._state(rows, inputs)
        h[:, :batch], c[:, :batch] = state
        for first, steps in spans:
            graph, span = self._graph(rows, steps, inputs), slice(first * rows, (first + steps) * rows)
            graph.inputs.copy_(padded[:, span])
            graph.run()
            states[:, span] = graph.all_h.flatten(1, 2)
            running = batch_sizes[first + steps] if first + steps < len(batch_sizes) else 0
            if running < batch_sizes[first]:
                ending = slice(running, batch_sizes[first])
                last_c[:, ending] = graph.all_c.flatten(1, 2).index_select(1, last[ending] - first * rows)
        return states.index_select(1, places), (states.index_select(1, last), last_c)

    def _state(self, rows: int, like: Tensor) -> State:
        if rows not in self._states:
            directions, n, p = len(self.lstm.bias), self.lstm.cell_size, self.lstm.state_size
            with torch.inference_mode(False):
                self._states[rows] = like.new_zeros(directions, rows, p), like.new_zeros(directions, rows, n)
        return self._states[rows]

    def _graph(self, rows: int, steps: int, like: Tensor) -> _Graph:
        if (rows, steps) not in self._graphs:
            before_capture = [part.clone() for part in self._states[rows]]
            with torch.inference_mode(False), torch.no_grad():
                graph = _Graph(self.lstm, self._states[rows], steps, like, self.capture)
            for part, before in zip(self._states[rows], before_capture, strict=True):
                part.copy_(before)  # capturing runs the graph
            self._graphs[rows, steps] = graph
        return self._graphs[rows, steps]


class _Graph:
    """Some steps of a batch, whose inputs and outputs have fixed places.

    `inputs` (G, steps * rows, d); `state` holds the starting state, and afterwards the last one; `all_h` and `all_c`
    (G, steps, rows, ...) those of each step.
    """

    def __init__(self, lstm: LstmFormula, state: State, steps: int, like: Tensor, capture: Capture) -> None:
        directions, rows, n = state[1].shape
        self.lstm, self.state = lstm, state
        self.inputs = like.new_zeros(directions, steps * rows, like.shape[2])
        self.all_h = like.new_zeros(directions, steps, rows, lstm.state_size)
        self.all_c = like.new_zeros(directions, steps, rows, n)
        self.run = capture(self._run)

    @torch.no_grad()
    def _run(self) -> None:
        states, rows = [self.state], self.state[0].shape[1]
        for input_part in torch.split(self.lstm.input_part(self.inputs), rows, dim=1):
            states.append(self.lstm.step(input_part, *states[-1]))
        hs, cs = zip(*states[1:], strict=True)
        for all_steps, last, steps in ((self.all_h, self.state[0], hs), (self.all_c, self.state[1], cs)):
            torch.stack(steps, dim=1, out=all_steps)
            last.copy_(steps[-1])


def _graph_spans(length: int, rows: int, settings: RuntimeSettings) -> Iterator[tuple[int, int]]:
    """The first step and the number of steps of each graph that a batch of `length` steps needs."""
    unit = settings.graph_steps
    longest = max(unit, min(settings.graph_max_steps, settings.graph_max_tokens // rows))
    for first in range(0, length, longest):
        yield first, min(longest, -(-(length - first) // unit) * unit)


@lru_cache(maxsize=1)  # all layers have the same
@torch.inference_mode(False)
def _padded_places(batch_sizes: tuple[int, ...], rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The places of packed tokens among steps of `rows`, and that of each sequence's last token."""
    sizes = torch.tensor(batch_sizes)
    steps = torch.arange(len(sizes)).repeat_interleave(sizes)
    sequences = torch.arange(len(steps)) - (sizes.cumsum(0) - sizes)[steps]
    lengths = (sizes.unsqueeze(1) > torch.arange(batch_sizes[0])).sum(dim=0)
    last = (lengths - 1) * rows + torch.arange(batch_sizes[0])
    return (steps * rows + sequences).to(device), last.to(device)
