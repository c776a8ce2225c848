"""The projected LSTM with clipping (Sak et al. 2014; Peters et al. 2018): the hot path.

    gates = W_x x_t + W_h h_{t-1} + b
    c_t   = clip(sigmoid(i) * tanh(g) + sigmoid(f) * c_{t-1}, cell_clip)
    h_t   = clip(W_p (sigmoid(o) * tanh(c_t)), proj_clip)

Without a projection, h_t is sigmoid(o) * tanh(c_t) itself, as in `torch.nn.LSTM`.

Sequences come packed: sorted by falling length, step after step, so that no padded step is ever computed. The input
products of many steps are one matrix product, and the directions of a layer run in the same step. Where no gradients
are needed, `inference.py` takes over on a CPU, and for small batches `graphs.py` on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.derived_cache import DerivedCache
from elmo_mf.bilm.lstm_cell import clipped, lstm_cell
from elmo_mf.bilm.packing import State, groups, joined
from elmo_mf.bilm.runtime.cuda_graphs import CudaGraphLstm, suits_graphs
from elmo_mf.bilm.runtime.packed_linear import Precision, full_precision, supports
from elmo_mf.bilm.runtime.packed_lstm import PackedLstm
from elmo_mf.bilm.stacked_linear import StackedLinear, alike
from elmo_mf.bilm.weights import (
    JOINT,
    TARGETS,
    Array,
    Factors,
    LstmWeights,
    Matrix,
    Target,
    reorder_gates,
    reorder_rows,
)


class ProjectedLstm(nn.Module):
    """`G` directions of one layer whose matrices have the same form.

    With `joint` weights, [W_x W_h] = L [R_x R_h], the left factor is applied once, to R_x x_t + R_h h_{t-1}: then
    `shared` is set, and `input` is R_x as if it were dense.

    Args:
        weights: one `LstmWeights` a direction.
        cell_clip: bounds on the memory cell and on the projected state, None for no bound.
        proj_clip: bounds on the memory cell and on the projected state, None for no bound.
        precision: of the weights in inference on a CPU.
    """

    def __init__(
        self,
        weights: Sequence[LstmWeights],
        cell_clip: float | None,
        proj_clip: float | None,
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        self.shared = JOINT in weights[0].matrices
        inputs, recurrents = zip(*map(_input_and_recurrent, weights), strict=True)
        self.input, self.recurrent = StackedLinear(inputs), StackedLinear(recurrents)
        projections = [w.matrices["projection"] for w in weights if "projection" in w.matrices]
        self.projection = StackedLinear(projections) if projections else None
        bias = np.stack([reorder_rows(w.bias + _forget_bias(w.bias), _IFOG) for w in weights])
        self.bias = nn.Parameter(torch.from_numpy(bias.astype(np.float32)).unsqueeze(1))
        self.cell_clip, self.proj_clip = cell_clip, proj_clip if projections else None
        self.precision: Precision = precision if supports(precision) else "float32"
        self._inference = DerivedCache[PackedLstm]()
        self._graphed = DerivedCache[CudaGraphLstm]()
        self.cell_size = bias.shape[1] // 4
        self.state_size = weights[0].state_size

    def forward(self, inputs: Tensor, batch_sizes: list[int], state: State | None) -> tuple[Tensor, State]:
        """Run over packed sequences.

        Args:
            inputs: (G, steps of all sequences, d).
            batch_sizes: how many sequences are still running at each step, never rising.
            state: where the sequences start, in the packed order; None for zeros.

        Returns:
            The states of all steps (G, steps of all sequences, p), and each sequence's last state.
        """
        if state is None:
            state = self._zeros(batch_sizes[0])
        if not self._needs_gradients(inputs, *state):
            if inputs.device.type == "cpu" and inputs.dtype == torch.float32 and supports(self.precision):
                with full_precision():
                    inference = self._inference.of(self.parameters(), lambda: PackedLstm(self, self.precision))
                    return inference(inputs, batch_sizes, state)
            if suits_graphs(inputs.device, batch_sizes[0]):
                graphed = self._graphed.of(self.parameters(), lambda: CudaGraphLstm(self), copied=False)
                return graphed(inputs, batch_sizes, state)
        return self.run(self._input_gates(inputs, batch_sizes), batch_sizes, state)

    def run(self, input_gates: Iterable[Tensor], batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        """The recurrence, given each step's `input_part`."""
        h, c = state
        outputs, ended = [], []
        for size, gates in zip(batch_sizes, input_gates, strict=True):
            if size < h.shape[1]:
                ended.append((h[:, size:], c[:, size:]))
                h, c = h[:, :size], c[:, :size]
            h, c = self.step(gates, h, c)
            outputs.append(h)
        ended.append((h, c))
        return torch.cat(outputs, dim=1), joined(ended)

    def step(self, input_gates: Tensor, h: Tensor, c: Tensor) -> State:
        """The next h and c, from those before and the input's part of the gates, which is lost without gradients."""
        gates = self.recurrent(h, self.bias, input_gates) if self.shared else self.recurrent(h, input_gates, lost=True)
        cell, c = lstm_cell(gates.to(c.dtype), c, self.cell_clip)  # mixed precision keeps it in full precision
        return clipped(cell if self.projection is None else self.projection(cell), self.proj_clip), c

    def _input_gates(self, inputs: Tensor, batch_sizes: list[int]) -> Iterator[Tensor]:
        """Those of many steps come from one product."""
        for tokens, sizes in groups(batch_sizes, self.tokens_at_once):
            yield from torch.split(self.input_part(inputs[:, tokens]), sizes, dim=1)

    def input_part(self, inputs: Tensor) -> Tensor:
        """The input's part of the gates with the bias, (G, rows, 4n); R_x x of a shared left factor, (G, rows, r)."""
        part: Tensor = self.input(inputs) if self.shared else self.input(inputs, self.bias)
        return part

    @property
    def tokens_at_once(self) -> int:
        """Of how many tokens the input gates stay in the processor's cache until they are used; more on a GPU, where
        each product is a launch."""
        return (_CACHE_BYTES if self.bias.device.type == "cpu" else _GPU_BYTES) // (4 * self.bias.numel())

    def _needs_gradients(self, *inputs: Tensor) -> bool:
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (*inputs, *self.parameters()))

    def _zeros(self, batch: int) -> State:
        directions = len(self.bias)
        h = self.bias.new_zeros(directions, batch, self.state_size)
        return h, self.bias.new_zeros(directions, batch, self.cell_size)

    def weights(self) -> list[LstmWeights]:
        """The weights of each direction, as they were given."""
        gates = [self._gates(*pair) for pair in zip(self.input.matrices(), self.recurrent.matrices(), strict=True)]
        if self.projection is not None:
            for own, projection in zip(gates, self.projection.matrices(), strict=True):
                own["projection"] = projection
        biases = [reorder_rows(bias, _IGFO) for bias in self.bias.detach().cpu().numpy()[:, 0]]
        return [LstmWeights(own, bias - _forget_bias(bias)) for own, bias in zip(gates, biases, strict=True)]

    def _gates(self, w_x: Matrix, w_h: Matrix) -> dict[Target, Matrix]:
        if not self.shared:
            return {"input": reorder_gates(w_x, _IGFO), "recurrent": reorder_gates(w_h, _IGFO)}
        w_h = cast(Factors, w_h)
        right = np.concatenate([cast(Array, w_x), w_h.right], axis=1)
        return {JOINT: reorder_gates(Factors(w_h.left, right), _IGFO)}


class BiLstmLayer(nn.Module):
    """Both directions of one layer: in one `ProjectedLstm` where their matrices have the same form, else in two."""

    def __init__(
        self,
        forward: LstmWeights,
        backward: LstmWeights,
        cell_clip: float | None,
        proj_clip: float | None,
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        joined = all(alike(forward.matrices.get(t), backward.matrices.get(t)) for t in (*TARGETS, JOINT))
        groups = [[forward, backward]] if joined else [[forward], [backward]]
        self.groups = nn.ModuleList(ProjectedLstm(group, cell_clip, proj_clip, precision) for group in groups)

    def forward(self, inputs: Tensor, batch_sizes: list[int], state: State | None) -> tuple[Tensor, State]:
        """As `ProjectedLstm.forward`, with G = 2: forward and backward."""
        if len(self.groups) == 1:
            output, state = self.groups[0](inputs, batch_sizes, state)
            return output, state
        outputs, hs, cs = [], [], []
        for index, lstm in enumerate(self.groups):
            part = slice(index, index + 1)
            output, (h, c) = lstm(
                inputs[part], batch_sizes, None if state is None else (state[0][part], state[1][part])
            )
            outputs.append(output)
            hs.append(h)
            cs.append(c)
        return torch.cat(outputs), (torch.cat(hs), torch.cat(cs))

    def weights(self) -> list[LstmWeights]:
        """Forward's and backward's weights."""
        return [weights for group in self.groups for weights in cast(ProjectedLstm, group).weights()]


def run_layers(
    layers: Iterable[nn.Module],
    stacked: Tensor,
    batch_sizes: list[int],
    states: Sequence[State] | None,
    use_skip_connections: bool,
    first: int = 0,
) -> tuple[list[Tensor], list[State]]:
    """Layers one after the other over packed sequences.

    Args:
        layers: each a `BiLstmLayer`, or a `ProjectedLstm` of some of its directions.
        stacked: what the first one gets, (directions, steps of all sequences, p).
        batch_sizes: how many sequences are still running at each step, never rising.
        states: where each layer starts, None for zeros.
        use_skip_connections: whether a layer's output has what it got added to it, but for layer 0.
        first: the first one's number among all layers.

    Returns:
        Each layer's output (directions, steps of all sequences, p), and its last state.
    """
    outputs, finals = [], []
    for index, layer in enumerate(layers):
        output, final = layer(stacked, batch_sizes, states[index] if states else None)
        if first + index and use_skip_connections:
            output = output + stacked
        outputs.append(output)
        finals.append(final)
        stacked = output
    return outputs, finals


_CACHE_BYTES = 16 * 2**20
_GPU_BYTES = 256 * 2**20
_IFOG = (0, 2, 3, 1)  # from the file's i, g, f, o: the three sigmoid gates side by side
_IGFO = (0, 3, 1, 2)  # and back


def _input_and_recurrent(weights: LstmWeights) -> tuple[Matrix, Matrix]:
    """W_x and W_h, or of L [R_x R_h] the parts R_x and L R_h."""
    matrices = weights.matrices
    if JOINT not in matrices:
        return reorder_gates(matrices["input"], _IFOG), reorder_gates(matrices["recurrent"], _IFOG)
    joint, p = cast(Factors, reorder_gates(matrices[JOINT], _IFOG)), weights.state_size
    return joint.right[:, :-p], Factors(joint.left, joint.right[:, -p:])


def _forget_bias(bias: Array) -> Array:
    """TensorFlow's constant 1 on the forget gate, which the file leaves out; in the file's gate order."""
    ones = np.zeros_like(bias)
    quarter = len(bias) // 4
    ones[2 * quarter : 3 * quarter] = 1
    return ones
