"""The core of a language model: a stack of LSTMs, dense or compressed.

    gates = W_ih x_t + W_hh h_{t-1} + b
    c_t   = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
    h_t   = sigmoid(o) * tanh(c_t)

W_ih is the target `input`, W_hh the target `recurrent`. Training multiplies the factors and runs PyTorch's own LSTM on
the products, which is the same function and faster than a loop over steps in Python. Inference on a CPU runs the
factors themselves in the kernels of the ELMo encoder.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.derived_cache import DerivedCache
from elmo_mf.bilm.lstm import ProjectedLstm
from elmo_mf.bilm.packing import State
from elmo_mf.bilm.weights import (
    GATES,
    JOINT,
    Array,
    BilmWeights,
    Factors,
    LstmWeights,
    Matrix,
    Pruned,
    Target,
    reorder_gates,
    reorder_rows,
)
from elmo_mf.lm._trained_matrix import TrainedMatrix

_SWAP = (0, 2, 1, 3)  # PyTorch's gates i, f, g, o from i, g, f, o, and back
_LANES = 16  # the kernels need a number of cells that is a multiple of it


class CoreLstm(nn.Module):
    """A stack of unidirectional LSTMs.

    Args:
        weights: Weights of each layer, without projections.
        weight_drop: Share of the recurrent weights that are dropped in training, drawn for each batch (Merity et al.
            2018). Defaults to 0.

    Examples:
        >>> core = CoreLstm.random([20, 40, 30]).eval()
        >>> outputs, state = core(torch.zeros(7, 2, 20))  # 7 steps of 2 sequences
        >>> [tuple(output.shape) for output in outputs]
        [(7, 2, 40), (7, 2, 30)]
    """

    def __init__(self, weights: Sequence[LstmWeights], weight_drop: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(one, weight_drop) for one in weights)
        self._inference = DerivedCache[InferenceCore]()

    @classmethod
    def random(cls, sizes: Sequence[int], weight_drop: float = 0.0) -> CoreLstm:
        """Build layers with random weights, initialised as in `torch.nn.LSTM`.

        Args:
            sizes: Width of the inputs, then the number of cells of each layer.
            weight_drop: See `CoreLstm`. Defaults to 0.
        """
        return cls.from_torch([nn.LSTM(d, n) for d, n in itertools.pairwise(sizes)], weight_drop)

    @classmethod
    def from_torch(cls, lstms: Iterable[nn.LSTM], weight_drop: float = 0.0) -> CoreLstm:
        """Build a core with the weights of LSTMs of PyTorch.

        Args:
            lstms: Unidirectional LSTMs of one or more layers, with biases and without projections, in the order in
                which they run.
            weight_drop: See `CoreLstm`. Defaults to 0.

        Raises:
            ValueError: An LSTM is bidirectional, has a projection or has no biases.
        """
        return cls([weights for lstm in lstms for weights in _from_torch(lstm)], weight_drop)

    def to_torch(self) -> list[nn.LSTM]:
        """Convert each layer to a `torch.nn.LSTM` with dense weights, in evaluation mode and without gradients.

        Returns:
            The LSTMs, of one layer each, in the order in which they run.
        """
        return [_to_torch(cast(_Layer, layer)) for layer in self.layers]

    def forward(
        self, inputs: Tensor, state: list[State] | None = None, between: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[list[Tensor], list[State]]:
        """Run over sequences of equal length.

        Args:
            inputs: Inputs of the first layer, (steps, sequences, d).
            state: States h and c of each layer, each (1, sequences, n); None for zeros.
            between: Applied to a layer's outputs before the next layer reads them.

        Returns:
            Each layer's outputs (steps, sequences, n) before `between`, and the state after the last step.
        """
        if state is None:
            state = [cast(_Layer, layer).zeros(inputs) for layer in self.layers]
        if between is None and not torch.is_grad_enabled() and not self.training and inputs.device.type == "cpu":
            return self.inference()(inputs, state)
        outputs: list[Tensor] = []
        after: list[State] = []
        for layer, initial in zip(self.layers, state, strict=True):
            if outputs:
                inputs = outputs[-1] if between is None else between(outputs[-1])
            output, last = layer(inputs, initial)
            outputs.append(output)
            after.append(last)
        return outputs, after

    def inference(self) -> InferenceCore:
        """Return the core for inference on a CPU, rebuilt if the parameters have changed."""
        return self._inference.get(self.parameters(), lambda: InferenceCore(list(self.weights().lstms.values())))

    @property
    def weight_drop(self) -> float:
        """Share of the recurrent weights that are dropped in training."""
        return cast(_Layer, self.layers[0]).weight_drop

    def weights(self) -> BilmWeights:
        """Return the layers' weights as arrays, under direction 0."""
        return BilmWeights({}, {(0, index): cast(_Layer, layer).weights() for index, layer in enumerate(self.layers)})


class _Layer(nn.Module):
    """One LSTM with gates in PyTorch's order."""

    def __init__(self, weights: LstmWeights, weight_drop: float) -> None:
        super().__init__()
        self.matrices = nn.ModuleDict(
            {target: TrainedMatrix(reorder_gates(matrix, _SWAP)) for target, matrix in weights.matrices.items()}
        )
        bias = reorder_rows(weights.bias + _forget(len(weights.bias)), _SWAP)
        self.bias = nn.Parameter(torch.from_numpy(bias.astype(np.float32)))
        self.cells = len(bias) // GATES
        self.weight_drop = weight_drop

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        w_x, w_h = self.both()
        w_h = nn.functional.dropout(w_h, self.weight_drop, self.training)
        weights = [w_x, w_h, self.bias, torch.zeros_like(self.bias)]
        trains = torch.is_grad_enabled()  # in evaluation too, where cuDNN would otherwise have no gradients
        output, h, c = torch.lstm(inputs, state, weights, True, 1, 0.0, trains, False, False)
        return output, (h, c)

    def both(self) -> tuple[Tensor, Tensor]:
        """Return W_ih and W_hh as dense tensors."""
        if JOINT in self.matrices:
            joint: Tensor = self.matrices[JOINT]()
            return joint[:, : -self.cells], joint[:, -self.cells :]
        return self.matrices["input"](), self.matrices["recurrent"]()

    def zeros(self, inputs: Tensor) -> State:
        zeros = inputs.new_zeros(1, inputs.shape[1], self.cells)
        return zeros, zeros

    def weights(self) -> LstmWeights:
        matrices = {
            cast(Target, target): reorder_gates(cast(TrainedMatrix, matrix).value(), _SWAP)
            for target, matrix in self.matrices.items()
        }
        bias = reorder_rows(self.bias.detach().cpu().numpy(), _SWAP)
        return LstmWeights(matrices, bias - _forget(len(bias)))


class InferenceCore:
    """The layers for inference on a CPU: each a `ProjectedLstm` padded with cells that stay zero.

    Args:
        weights: Weights of each layer, without projections.
    """

    def __init__(self, weights: Sequence[LstmWeights]) -> None:
        self.cells = [one.state_size for one in weights]
        inputs = [0, *(_padded(cells) - cells for cells in self.cells[:-1])]
        self.layers = [
            ProjectedLstm([_widened(one, more, _padded(n) - n)], None, None).requires_grad_(False)
            for one, more, n in zip(weights, inputs, self.cells, strict=True)
        ]

    @torch.no_grad()
    def __call__(self, inputs: Tensor, state: Sequence[State]) -> tuple[list[Tensor], list[State]]:
        """Run as `CoreLstm.forward` does, without gradients.

        Args:
            inputs: Inputs of the first layer, (steps, sequences, d).
            state: States h and c of each layer, each (1, sequences, n).

        Returns:
            Each layer's outputs (steps, sequences, n), and the state after the last step.
        """
        steps, sequences, _ = inputs.shape
        x, outputs, after = inputs.reshape(1, steps * sequences, -1), [], []
        for layer, cells, initial in zip(self.layers, self.cells, state, strict=True):
            h, c = (nn.functional.pad(part, (0, layer.cell_size - cells)) for part in initial)
            x, (h, c) = layer(x, [sequences] * steps, (h, c))
            outputs.append(x.view(steps, sequences, -1)[..., :cells])
            after.append((h[..., :cells], c[..., :cells]))
        return outputs, after


def core_sizes(embedding_dim: int, hidden_size: int, num_layers: int) -> list[int]:
    """Return the sizes of an AWD-LSTM's core, whose last layer has the width of the embeddings.

    Args:
        embedding_dim: Width of the embeddings.
        hidden_size: Number of cells of each layer except the last.
        num_layers: Number of layers.

    Returns:
        The width of the inputs, then the number of cells of each layer.
    """
    return [embedding_dim, *[hidden_size] * (num_layers - 1), embedding_dim]


def zero_weights(sizes: Sequence[int]) -> BilmWeights:
    """Build zero weights of a core, for checks of a compression.

    Args:
        sizes: Width of the inputs, then the number of cells of each layer.
    """
    return BilmWeights(
        {},
        {
            (0, index): LstmWeights(
                {
                    "input": np.zeros((GATES * n, d), np.float32),
                    "recurrent": np.zeros((GATES * n, n), np.float32),
                },
                np.zeros(GATES * n, np.float32),
            )
            for index, (d, n) in enumerate(itertools.pairwise(sizes))
        },
    )


def _padded(cells: int) -> int:
    return -(-cells // _LANES) * _LANES


def _widened(weights: LstmWeights, inputs: int, cells: int) -> LstmWeights:
    """Add inputs and cells whose weights are zero."""

    def rows(array: Array) -> Array:
        gates = array.reshape(GATES, -1, *array.shape[1:])
        return np.pad(gates, [(0, 0), (0, cells), *[(0, 0)] * (array.ndim - 1)]).reshape(-1, *array.shape[1:])

    def columns(array: Array, target: Target) -> Array:
        split = {"input": array.shape[1], "recurrent": 0, JOINT: array.shape[1] - weights.state_size}[target]
        more = {"input": (inputs, 0), "recurrent": (0, cells), JOINT: (inputs, cells)}[target]
        parts = (np.pad(part, [(0, 0), (0, n)]) for part, n in zip(np.split(array, [split], axis=1), more, strict=True))
        return np.concatenate(list(parts), axis=1)

    def wide(target: Target, matrix: Matrix) -> Matrix:
        if isinstance(matrix, Factors):
            return Factors(rows(matrix.left), columns(matrix.right, target))
        values = matrix.values if isinstance(matrix, Pruned) else matrix
        padded = columns(rows(values), target)
        return Pruned(padded) if isinstance(matrix, Pruned) else padded

    return LstmWeights(
        {target: wide(target, matrix) for target, matrix in weights.matrices.items()}, rows(weights.bias)
    )


def _from_torch(lstm: nn.LSTM) -> list[LstmWeights]:
    if lstm.bidirectional or lstm.proj_size or not lstm.bias:
        raise ValueError("expected an LSTM of one direction, with biases and without projection")
    layers = []
    for index in range(lstm.num_layers):
        w_x, w_h, b_x, b_h = (
            getattr(lstm, f"{name}_l{index}").detach().cpu().numpy()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        matrices: dict[Target, Matrix] = {
            "input": reorder_rows(w_x, _SWAP),
            "recurrent": reorder_rows(w_h, _SWAP),
        }
        layers.append(LstmWeights(matrices, reorder_rows(b_x + b_h, _SWAP) - _forget(len(b_x))))
    return layers


def _to_torch(layer: _Layer) -> nn.LSTM:
    with torch.no_grad():
        w_x, w_h = layer.both()
        lstm = nn.LSTM(w_x.shape[1], layer.cells)
        for name, value in (("weight_ih", w_x), ("weight_hh", w_h), ("bias_ih", layer.bias), ("bias_hh", 0)):
            getattr(lstm, f"{name}_l0").copy_(torch.as_tensor(value))
    return lstm.requires_grad_(False).eval()


def _forget(rows: int) -> Array:
    """Return the constant 1 on the forget gate that `LstmWeights.bias` excludes."""
    gates = np.zeros((GATES, rows // GATES), np.float32)
    gates[2] = 1
    return gates.reshape(-1)
