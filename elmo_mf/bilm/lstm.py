"""The encoder's LSTM layers: parameters, and the fastest runtime for each call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from elmo_mf.bilm.lstm_formula import LstmFormula
from elmo_mf.bilm.packing import State
from elmo_mf.bilm.runtime import Precision, Runtime, Runtimes, supports
from elmo_mf.bilm.runtime_settings import RuntimeSettings
from elmo_mf.bilm.stacked_linear import same_structure
from elmo_mf.bilm.weights import JOINT, TARGETS, LstmWeights


class ProjectedLstm(LstmFormula):
    """`G` directions of one layer; see `LstmFormula`. A call runs in the runtime that suits it.

    Args:
        weights: One `LstmWeights` for each direction, all of the same structure.
        cell_clip: Bound on the memory cell's absolute values; None for no bound.
        proj_clip: Bound on the projected state's absolute values; None for no bound.
        precision: Precision of the weights in inference on a CPU. Defaults to float32.
        settings: Thresholds between the runtimes; None for the process's default.
    """

    def __init__(
        self,
        weights: Sequence[LstmWeights],
        cell_clip: float | None,
        proj_clip: float | None,
        precision: Precision = "float32",
        settings: RuntimeSettings | None = None,
    ) -> None:
        super().__init__(weights, cell_clip, proj_clip, settings)
        self.precision: Precision = precision if supports(precision) else "float32"
        self._runtimes = Runtimes(self.precision, settings)

    def forward(self, inputs: Tensor, batch_sizes: list[int], state: State | None) -> tuple[Tensor, State]:
        """Run over packed sequences.

        Args:
            inputs: (G, tokens, d).
            batch_sizes: Number of sequences still running at each step, never rising.
            state: Starting states in packed order; None for zeros.

        Returns:
            The states of all steps (G, tokens, p), and each sequence's last state.
        """
        if state is None:
            state = self.zero_state(batch_sizes[0])
        return self.runtime(inputs, batch_sizes, state)(inputs, batch_sizes, state)

    def runtime(self, inputs: Tensor, batch_sizes: list[int], state: State) -> Runtime:
        """Return the runtime that `forward` uses for these arguments.

        Args:
            inputs: See `forward`.
            batch_sizes: See `forward`.
            state: Starting states.
        """
        return self._runtimes.choose(self, inputs, batch_sizes, state)

    def keep_only_copies(self) -> None:
        """Free the parameters that have copies in a lower precision, see `Bilm`."""
        if self.precision != "float32":
            self._runtimes.keep_only_copies(self)


class BiLstmLayer(nn.Module):
    """Both directions of one layer: one `ProjectedLstm` if their matrices have the same structure, else two.

    Args:
        forward: Weights of the forward direction.
        backward: Weights of the backward direction.
        cell_clip: See `ProjectedLstm`.
        proj_clip: See `ProjectedLstm`.
        precision: See `ProjectedLstm`.
        settings: See `ProjectedLstm`.
    """

    def __init__(
        self,
        forward: LstmWeights,
        backward: LstmWeights,
        cell_clip: float | None,
        proj_clip: float | None,
        precision: Precision = "float32",
        settings: RuntimeSettings | None = None,
    ) -> None:
        super().__init__()
        together = all(same_structure(forward.matrices.get(t), backward.matrices.get(t)) for t in (*TARGETS, JOINT))
        groups = [[forward, backward]] if together else [[forward], [backward]]
        self.groups = nn.ModuleList(ProjectedLstm(group, cell_clip, proj_clip, precision, settings) for group in groups)

    def forward(self, inputs: Tensor, batch_sizes: list[int], state: State | None) -> tuple[Tensor, State]:
        """Run over packed sequences.

        Args:
            inputs: Inputs of the forward and of the backward direction, (2, tokens, d).
            batch_sizes: Number of sequences still running at each step, never rising.
            state: Starting states in packed order; None for zeros.

        Returns:
            The states of all steps (2, tokens, p), and each sequence's last state.
        """
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

    def keep_only_copies(self) -> None:
        """Free the parameters that have copies in a lower precision, see `Bilm`."""
        for group in self.groups:
            cast(ProjectedLstm, group).keep_only_copies()

    def weights(self) -> list[LstmWeights]:
        """Return the weights of the forward and of the backward direction."""
        return [weights for group in self.groups for weights in cast(ProjectedLstm, group).weights()]


def run_layers(
    layers: Iterable[nn.Module],
    stacked: Tensor,
    batch_sizes: list[int],
    states: Sequence[State] | None,
    use_skip_connections: bool,
    first: int = 0,
) -> tuple[list[Tensor], list[State]]:
    """Run layers one after the other over packed sequences.

    Args:
        layers: Each a `BiLstmLayer`, or a `ProjectedLstm` of some of its directions.
        stacked: Inputs of the first one, (directions, tokens, p).
        batch_sizes: Number of sequences still running at each step, never rising.
        states: Starting states of each layer; None for zeros.
        use_skip_connections: Whether to add a layer's inputs to its outputs, except in layer 0.
        first: Number of the first one among all layers. Defaults to 0.

    Returns:
        Each layer's output (directions, tokens, p), and its last state.
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
