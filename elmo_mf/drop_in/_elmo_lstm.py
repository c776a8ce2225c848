"""The arithmetic of AllenNLP's `ElmoLstm`, in place of its method `_lstm_forward`.

What surrounds it stays AllenNLP's: sorting, empty sentences, and the states that are carried from batch to batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from allennlp.modules.elmo_lstm import ElmoLstm
from allennlp.modules.lstm_cell_with_projection import LstmCellWithProjection
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elmo_mf.bilm.lstm import ProjectedLstm, run_layers
from elmo_mf.bilm.packing import Packing, State
from elmo_mf.bilm.weights import LstmWeights
from elmo_mf.drop_in._counterpart import counterpart, forget, is_plain, suit

_LINEARS = ("input_linearity", "state_linearity", "state_projection")
Layer = tuple[Any, Any]  # its `LstmCellWithProjection` of each direction

_stock_forward = ElmoLstm._lstm_forward
_stock_load_weights = ElmoLstm.load_weights


def lstm_forward(self: Any, inputs: PackedSequence, initial_state: State | None = None) -> tuple[Tensor, State]:
    """Compute `ElmoLstm._lstm_forward`, by AllenNLP's own code where nothing can take its place.

    Args:
        self: The `ElmoLstm`.
        inputs: Packed token vectors, (tokens, p).
        initial_state: h (layers, sequences, 2p) and c (layers, sequences, 2n), both directions side by side; None for
            zeros.

    Returns:
        The outputs of all layers, (layers, sequences, longest, 2p), and the final states, as the initial ones.
    """
    layers = [
        (self._modules[f"forward_layer_{k}"], self._modules[f"backward_layer_{k}"]) for k in range(self.num_layers)
    ]
    if not _replaces(layers, inputs, initial_state):
        return _stock_forward(self, inputs, initial_state)  # type: ignore[no-any-return]
    lstms = counterpart(self, [_sizes(cell) for cell, _ in layers], lambda: _Lstms(layers))
    parameters = [parameter for layer in layers for cell in layer for parameter in _parameters(cell)]
    states = None if initial_state is None else _by_direction(initial_state)
    lengths = (inputs.batch_sizes.unsqueeze(1) > torch.arange(int(inputs.batch_sizes[0]))).sum(dim=0)
    packing = Packing.of(lengths.to(inputs.data.device))
    stacked = torch.stack([inputs.data, inputs.data[packing.flip]])
    outputs, finals = lstms(parameters, lambda: _derived(layers), stacked, packing.batch_sizes, states)
    sequences = torch.stack([torch.cat([output[0], output[1][packing.flip]], dim=1) for output in outputs])
    h, c = (torch.stack(part).transpose(1, 2).flatten(2) for part in zip(*finals, strict=True))
    return packing.unpack(sequences), (h, c)


def load_weights(self: Any, weight_file: str) -> None:
    """Load weights as `ElmoLstm.load_weights`, which writes them where PyTorch does not count it."""
    _stock_load_weights(self, weight_file)
    forget(self)


class _Lstms(nn.Module):
    """All layers, with skip connections."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            ProjectedLstm([_zeros(cell) for cell in layer], *_clips(layer[0])) for layer in layers
        )

    def forward(
        self, stacked: Tensor, batch_sizes: list[int], states: list[State] | None
    ) -> tuple[list[Tensor], list[State]]:
        return run_layers(self.layers, stacked, batch_sizes, states, use_skip_connections=True)


def _replaces(layers: Sequence[Layer], inputs: PackedSequence, state: State | None) -> bool:
    for forward, backward in layers:
        if not (_is_plain(forward) and _is_plain(backward)) or _sizes(forward) != _sizes(backward):
            return False
        if not forward.go_forward or backward.go_forward:
            return False
    parameters = [parameter for layer in layers for cell in layer for parameter in _parameters(cell)]
    return suit([inputs.data, *parameters, *(state or ())]) and (state is None or len(state[0]) == len(layers))


def _is_plain(cell: Any) -> bool:
    """Whether the cell does what `ProjectedLstm` does."""
    if not is_plain(cell, LstmCellWithProjection) or (cell.training and cell.recurrent_dropout_probability):
        return False
    return all(is_plain(getattr(cell, name), nn.Linear) for name in _LINEARS)


def _parameters(cell: Any) -> tuple[Tensor, ...]:
    linears = cell.input_linearity, cell.state_linearity, cell.state_projection
    return (*(linear.weight for linear in linears), cell.state_linearity.bias)


def _clips(cell: Any) -> tuple[float | None, float | None]:
    return cell.memory_cell_clip_value or None, cell.state_projection_clip_value or None


def _sizes(cell: Any) -> tuple[Any, ...]:
    return (*_clips(cell), *(parameter.shape for parameter in _parameters(cell)))


def _zeros(cell: Any) -> LstmWeights:
    w_x, w_h, w_p, bias = (np.zeros(parameter.shape, np.float32) for parameter in _parameters(cell))
    return LstmWeights({"input": w_x, "recurrent": w_h, "projection": w_p}, bias)


def _derived(layers: Sequence[Layer]) -> dict[str, Tensor]:
    """The parameters of `_Lstms`."""
    derived = {}
    for k, cells in enumerate(layers):
        w_x, w_h, w_p, bias = zip(*map(_parameters, cells), strict=True)
        derived[f"layers.{k}.input.left"] = _gates(w_x).transpose(1, 2)
        derived[f"layers.{k}.recurrent.left"] = _gates(w_h).transpose(1, 2)
        derived[f"layers.{k}.projection.left"] = torch.stack(w_p).transpose(1, 2)
        derived[f"layers.{k}.bias"] = _gates(bias).unsqueeze(1)
    return derived


def _gates(directions: Iterable[Tensor]) -> Tensor:
    """Stack both directions, with the gates i, f, g, o of AllenNLP as i, f, o, g."""
    directions = list(directions)
    parts = []
    for direction in directions:
        i, f, g, o = direction.chunk(4)
        parts += [i, f, o, g]
    return torch.cat(parts).view(len(directions), *directions[0].shape)


def _by_direction(state: State) -> list[State]:
    """Turn AllenNLP's h and c, (layers, sequences, both directions), into one state for each layer."""
    h, c = (torch.stack(part.chunk(2, dim=2), dim=1) for part in state)
    return list(zip(h, c, strict=True))
