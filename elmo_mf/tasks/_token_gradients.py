"""Second moments of a loss's gradients with respect to the outputs of an encoder's matrices, token by token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.lstm import BiLstmLayer, ProjectedLstm
from elmo_mf.bilm.lstm_formula import in_file_order
from elmo_mf.bilm.stacked_linear import StackedLinear
from elmo_mf.bilm.weights import Array, Target
from elmo_mf.compression import needs_output_covariance
from elmo_mf.compression.calibration import OutputCovariances, RowWeights, outputs_of, write_row_weights
from elmo_mf.experiments import Workspace
from elmo_mf.records.run import Run

_FILE = "gradients.hdf5"
_Calls = dict[StackedLinear, list[tuple[Tensor, Tensor]]]
"""Inputs (G, rows, n) and outputs (G, rows, m) of each call of a product."""


@dataclass
class TokenMoments:
    """Sums over tokens, for output covariances E[g g^T] and row weights, the sums of E[(dL/dw)^2] over each row.

    L is a loss and g its gradient with respect to the outputs of a matrix at one token. The gradient with respect to
    the matrix is g x^T there, where x are its inputs, so that its squares have the sum g_i^2 |x|^2 in row i. An output
    affects later tokens too, through the recurrence, and this is part of g.

    Attributes:
        bilm: The dense encoder, whose parameters require gradients.
        with_covariances: Whether to sum for output covariances, (4n, 4n) numbers for each direction and layer.
        tokens: Number of tokens so far, sentence boundaries included.
    """

    bilm: Bilm
    with_covariances: bool = True
    tokens: int = 0
    _squares: dict[tuple[int, int, str], Tensor] = field(default_factory=dict)
    _covariances: dict[tuple[int, int, str], Tensor] = field(default_factory=dict)

    @contextmanager
    def of_backward(self) -> Iterator[None]:
        """Add the tokens of a loss that is computed and differentiated in this context."""
        with _recorded(self.bilm) as calls:
            yield
        for key, target, x, g in _by_target(self.bilm, calls):
            squares = (g.square() * x.square().sum(dim=1, keepdim=True)).sum(dim=0)
            _add(self._squares, (*key, target), squares)
            if self.with_covariances and target != "recurrent":  # whose outputs are those of `input`
                _add(self._covariances, (*key, outputs_of(target)), g.T @ g)
            if (*key, target) == (0, 0, "input"):
                self.tokens += len(x)

    def row_weights(self) -> RowWeights:
        """Return the means over tokens, with gates in the files' order."""
        return RowWeights({place: self._mean(place, total) for place, total in self._squares.items()})

    def output_covariances(self) -> OutputCovariances:
        """Return the means over tokens, with gates in the files' order."""
        means = {}
        for place, total in self._covariances.items():
            rows = self._mean(place, total)
            means[place] = np.ascontiguousarray(_in_file_order(place[2], rows.T))
        return OutputCovariances(means)

    def write(self, path: Path, settings: dict[str, Any]) -> None:
        """Write the means to a file of gradients, atomically.

        Args:
            path: The file, HDF5.
            settings: Attributes of the file.
        """
        covariances = self.output_covariances() if self.with_covariances else None
        write_row_weights(path, self.row_weights(), settings, covariances)

    def _mean(self, place: tuple[int, int, str], total: Tensor) -> Array:
        return _in_file_order(place[2], total.cpu().numpy() / self.tokens)


def cached_gradients(
    run: Run,
    version: int,
    workspace: Workspace,
    with_covariances: bool,
    compute: Callable[[Run, bool], tuple[TokenMoments, dict[str, Any]]],
) -> Path:
    """Return the gradient file of a run's dense encoder, computing it if it is not cached.

    Args:
        run: The run. If its compression needs no output covariances, the file has none.
        version: Version of the computation.
        workspace: Workspace of the run.
        with_covariances: Whether the file is to have output covariances beside row weights.
        compute: Computes the moments for the dense run, with or without covariances, and returns the attributes of the
            file with them.
    """
    dense = run.dense().retrained()
    needed = with_covariances and (run.compression is None or needs_output_covariance(run.compression))

    def make(folder: Path) -> None:
        moments, settings = compute(dense, needed)
        moments.write(folder / _FILE, settings)

    name = f"{run.task}-{dense.id[:16]}-{version}" + ("" if needed else "-rows")
    return workspace.cache.get("gradients", name, make) / _FILE


def _add(sums: dict[tuple[int, int, str], Tensor], place: tuple[int, int, str], more: Tensor) -> None:
    sums[place] = sums[place] + more if place in sums else more


@contextmanager
def _recorded(bilm: Bilm) -> Iterator[_Calls]:
    """Record the calls of the products of an encoder's LSTMs, with the gradients with respect to their outputs."""
    calls: _Calls = {}

    def record(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        output.retain_grad()
        calls.setdefault(cast(StackedLinear, module), []).append((arguments[0].detach(), output))

    linears = [module for module in bilm.layers.modules() if isinstance(module, StackedLinear)]
    hooks = [linear.register_forward_hook(record) for linear in linears]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _by_target(bilm: Bilm, calls: _Calls) -> Iterator[tuple[tuple[int, int], Target, Tensor, Tensor]]:
    """Yield (direction, layer) and target of each matrix, its inputs (rows, n) and gradients (rows, m), in float64."""
    for layer, module in enumerate(bilm.layers):
        direction = 0
        for group in cast(BiLstmLayer, module).groups:
            lstm = cast(ProjectedLstm, group)
            for index in range(len(lstm.bias)):
                for target, linear in (
                    ("input", lstm.input), ("recurrent", lstm.recurrent), ("projection", lstm.projection)
                ):  # fmt: skip
                    if linear is not None:
                        rows = [(x[index], _gradient(y)[index]) for x, y in calls[linear]]
                        x, g = (torch.cat(parts).double() for parts in zip(*rows, strict=True))
                        yield (direction + index, layer), cast(Target, target), x, g
            direction += len(lstm.bias)


def _gradient(output: Tensor) -> Tensor:
    """The gradient with respect to an output, which is zero if the loss does not depend on it."""
    return torch.zeros_like(output) if output.grad is None else output.grad


def _in_file_order(name: str, rows: Array) -> Array:
    return rows if name == "projection" else in_file_order(rows)
