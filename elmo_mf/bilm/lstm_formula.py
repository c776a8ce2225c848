"""The projected LSTM with clipping (Sak et al. 2014, arXiv 1402.1128; Peters et al. 2018): parameters and formula.

    gates = W_x x_t + W_h h_{t-1} + b
    c_t   = clip(sigmoid(i) * tanh(g) + sigmoid(f) * c_{t-1}, cell_clip)
    h_t   = clip(W_p (sigmoid(o) * tanh(c_t)), proj_clip)

Without a projection, h_t is sigmoid(o) * tanh(c_t), as in `torch.nn.LSTM`.

Sequences come packed: sorted by falling length, step after step, so that no padded step is computed. All directions of
a layer run in the same step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm._lstm_cell import clipped, lstm_cell
from elmo_mf.bilm.packing import State, join_final_states
from elmo_mf.bilm.runtime_settings import RuntimeSettings
from elmo_mf.bilm.stacked_linear import StackedLinear
from elmo_mf.bilm.weights import GATES, JOINT, Array, Factors, LstmWeights, Matrix, Target, reorder_gates, reorder_rows

_IFOG = (0, 2, 3, 1)  # from the file's i, g, f, o: the three sigmoid gates side by side
_IGFO = (0, 3, 1, 2)  # and back


class LstmFormula(nn.Module):
    """`G` directions of one layer whose matrices have the same structure.

    With `joint` weights, [W_x W_h] = L [R_x R_h], the left factor is applied once, to R_x x_t + R_h h_{t-1}: then
    `shared` is True, and `input` is R_x as if it were dense.

    Args:
        weights: One `LstmWeights` for each direction.
        cell_clip: Bound on the memory cell's absolute values; None for no bound.
        proj_clip: Bound on the projected state's absolute values; None for no bound.
        settings: Thresholds; None for the process's default.
    """

    def __init__(
        self,
        weights: Sequence[LstmWeights],
        cell_clip: float | None,
        proj_clip: float | None,
        settings: RuntimeSettings | None = None,
    ) -> None:
        super().__init__()
        self.shared = JOINT in weights[0].matrices
        self.input = StackedLinear(list(map(_input, weights)), settings)
        self.recurrent = StackedLinear(list(map(_recurrent, weights)), settings)
        projections = [w.matrices["projection"] for w in weights if "projection" in w.matrices]
        self.projection = StackedLinear(projections, settings) if projections else None
        self._given = [w.bias.astype(np.float32) for w in weights]
        bias = np.stack([reorder_rows(given + _forget_bias(given), _IFOG) for given in self._given])
        self.bias = nn.Parameter(torch.from_numpy(bias).unsqueeze(1))
        self.cell_clip, self.proj_clip = cell_clip, proj_clip if projections else None
        self.cell_size = bias.shape[1] // GATES
        self.state_size = weights[0].state_size

    def run(self, input_parts: Iterable[Tensor], batch_sizes: list[int], state: State) -> tuple[Tensor, State]:
        """Run the recurrence over packed sequences.

        Args:
            input_parts: The `input_part` of each step.
            batch_sizes: Number of sequences still running at each step, never rising.
            state: Starting states in packed order.

        Returns:
            The states of all steps (G, tokens, p), and each sequence's last state.
        """
        h, c = state
        outputs, ended = [], []
        for size, input_part in zip(batch_sizes, input_parts, strict=True):
            if size < h.shape[1]:
                ended.append((h[:, size:], c[:, size:]))
                h, c = h[:, :size], c[:, :size]
            h, c = self.step(input_part, h, c)
            outputs.append(h)
        ended.append((h, c))
        return torch.cat(outputs, dim=1), join_final_states(ended)

    def step(self, input_part: Tensor, h: Tensor, c: Tensor) -> State:
        """Compute the next h and c.

        Args:
            input_part: What `input_part` gave for this step; overwritten where no gradients are needed.
            h: Previous states (G, rows, p).
            c: Previous memory cells (G, rows, n).
        """
        if self.shared:
            gates = self.recurrent(h, self.bias, input_part)
        else:
            gates = self.recurrent(h, input_part, overwrite_add=True)
        gated, c = lstm_cell(gates.to(c.dtype), c, self.cell_clip)  # mixed precision keeps it in full precision
        return clipped(gated if self.projection is None else self.projection(gated), self.proj_clip), c

    def input_part(self, inputs: Tensor) -> Tensor:
        """Compute the input's part of the gates with the bias, (G, rows, 4n); R_x x (G, rows, r) if `shared`."""
        part: Tensor = self.input(inputs) if self.shared else self.input(inputs, self.bias)
        return part

    def zero_state(self, batch: int) -> State:
        """Return h (G, batch, p) and c (G, batch, n) of zeros."""
        directions = len(self.bias)
        h = self.bias.new_zeros(directions, batch, self.state_size)
        return h, self.bias.new_zeros(directions, batch, self.cell_size)

    def needs_gradients(self, *inputs: Tensor) -> bool:
        """Return whether autograd would record a call with these inputs."""
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (*inputs, *self.parameters()))

    def weights(self) -> list[LstmWeights]:
        """Return the weights of each direction, with the structure that they were given in."""
        gates = [self._gates(*pair) for pair in zip(self.input.matrices(), self.recurrent.matrices(), strict=True)]
        if self.projection is not None:
            for matrices, projection in zip(gates, self.projection.matrices(), strict=True):
                matrices["projection"] = projection
        biases = [reorder_rows(bias, _IGFO) for bias in self.bias.detach().cpu().numpy()[:, 0]]
        biases = [_as_given(*pair) for pair in zip(biases, self._given, strict=True)]
        return [LstmWeights(*pair) for pair in zip(gates, biases, strict=True)]

    def _gates(self, w_x: Matrix, w_h: Matrix) -> dict[Target, Matrix]:
        if not self.shared:
            return {"input": reorder_gates(w_x, _IGFO), "recurrent": reorder_gates(w_h, _IGFO)}
        w_h = cast(Factors, w_h)
        right = np.concatenate([cast(Array, w_x), w_h.right], axis=1)
        return {JOINT: reorder_gates(Factors(w_h.left, right), _IGFO)}


def in_file_order(rows: Array) -> Array:
    """Return rows of the gates, (4n, ...), in the order of `LstmWeights` in place of that of an `LstmFormula`."""
    return reorder_rows(rows, _IGFO)


def _input(weights: LstmWeights) -> Matrix:
    """Return W_x; for L [R_x R_h], R_x."""
    if JOINT not in weights.matrices:
        return reorder_gates(weights.matrices["input"], _IFOG)
    return _joint(weights).right[:, : -weights.state_size]


def _recurrent(weights: LstmWeights) -> Matrix:
    """Return W_h; for L [R_x R_h], the factors of L R_h."""
    if JOINT not in weights.matrices:
        return reorder_gates(weights.matrices["recurrent"], _IFOG)
    joint = _joint(weights)
    return Factors(joint.left, joint.right[:, -weights.state_size :])


def _joint(weights: LstmWeights) -> Factors:
    """Return L [R_x R_h], of which both factors have an order of gates if each gate has factors of its own."""
    return cast(Factors, reorder_gates(weights.matrices[JOINT], _IFOG))


def _forget_bias(bias: Array) -> Array:
    """TensorFlow's constant 1 on the forget gate, which checkpoints leave out; in the file's gate order."""
    ones = np.zeros_like(bias)
    quarter = len(bias) // GATES
    ones[2 * quarter : 3 * quarter] = 1
    return ones


def _as_given(bias: Array, given: Array) -> Array:
    """Subtract the forget bias; unchanged numbers are returned as given, because adding it rounded them."""
    ones = _forget_bias(given)
    return np.where(bias == given + ones, given, bias - ones)
