"""The recurrence over a whole batch as one operation of autograd, for training on a CPU.

Autograd through `LstmFormula.run` computes the gradients of each matrix once for each step and adds them up. Here, the
backward pass only computes step by step what a step hands to the one before it. The gradients of the gates of many
steps are kept, and each matrix's gradient is one product for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from elmo_mf.bilm._lstm_cell import clipped
from elmo_mf.bilm.packing import State, split_steps
from elmo_mf.bilm.runtime._factor_gradients import FactorGradients, Factors, multiply, multiply_gradients
from elmo_mf.bilm.runtime._training_cells import TrainingCells, of_clipped

T = TypeVar("T")


class Step(NamedTuple):
    """A step over packed sequences.

    Attributes:
        size: Number of sequences still running.
        here: Its place among the tokens of its group.
        after: Its place among the states of all steps, which follow the starting states.
        before: The place of the same sequences' states before the step.
    """

    size: int
    here: slice
    after: slice
    before: slice


class Group(NamedTuple):
    """Steps whose gates are computed at once: their place among the packed tokens, and each of them."""

    tokens: slice
    steps: list[Step]


@dataclass(frozen=True)
class Recurrence:
    """A run over packed sequences.

    Attributes:
        batch_sizes: Number of sequences still running at each step, never rising.
        cells: What computes memory cells.
        proj_clip: Bound on the projected state's absolute values; None for no bound.
        dtype: Type of the operands of products; memory cells, gradients of matrices and sums have their own.
        tokens_at_once: Number of tokens of a group; more memory than a few MB at once is slow to get.
    """

    batch_sizes: list[int]
    cells: TrainingCells
    proj_clip: float | None
    dtype: torch.dtype
    tokens_at_once: float

    def __call__(
        self, inputs: Tensor, state: State, bias: Tensor, w_x: Factors, w_h: Factors, w_p: Factors
    ) -> tuple[Tensor, State]:
        """Run the recurrence with autograd.

        Args:
            inputs: (G, tokens, d).
            state: Starting h (G, sequences, p) and c (G, sequences, n).
            bias: (G, 1, 4n), of the gates i, f, o and g.
            w_x: The input's matrices.
            w_h: The recurrent ones.
            w_p: The projection's; empty for none.

        Returns:
            The states of all steps (G, tokens, p), and each sequence's last state.
        """
        lengths = len(w_x), len(w_h)
        output, h, c = _Run.apply(self, lengths, inputs, *state, bias, *w_x, *w_h, *w_p)  # type: ignore[no-untyped-call]
        return output, (h, c)

    def groups(self) -> list[Group]:
        """Return all steps in their order."""
        first, before, groups = self.batch_sizes[0], 0, []
        for tokens, sizes in split_steps(self.batch_sizes, self.tokens_at_once):
            steps, start = [], tokens.start
            for size in sizes:
                here = slice(start - tokens.start, start - tokens.start + size)
                after = slice(first + start, first + start + size)
                steps.append(Step(size, here, after, slice(before, before + size)))
                start, before = start + size, after.start
            groups.append(Group(tokens, steps))
        return groups

    def last(self, states: Tensor) -> Tensor:
        """Return the last state of each sequence, given the states of all steps, in packed order."""
        steps = [step for group in self.groups() for step in group.steps]
        running = [*self.batch_sizes[1:], 0]
        ended = [states[:, step.after][:, size:] for step, size in zip(steps, running, strict=True)]
        return torch.cat(ended[::-1], dim=1)


class _Context(Protocol):
    """Tensors and settings saved for the backward pass."""

    recurrence: Recurrence
    lengths: tuple[int, int]
    types: list[torch.dtype]
    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[Tensor, ...]

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _Run(torch.autograd.Function):
    """`Recurrence`: the gates, cells, gated cells and states of all steps are kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: _Context,
        recurrence: Recurrence,
        lengths: tuple[int, int],
        inputs: Tensor,
        h: Tensor,
        c: Tensor,
        bias: Tensor,
        *factors: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        types = [one.dtype for one in (inputs, h, c, bias, *factors)]
        with torch.autocast("cpu", enabled=False):
            inputs, *cast = (one.to(recurrence.dtype) for one in (inputs, *factors))
            w_x, w_h, w_p = _by_matrix(cast, lengths)
            hs, cs = (_followed_by(one, inputs.shape[1]) for one in (h.to(recurrence.dtype), c))
            sums, gated = [], inputs.new_empty(len(c), inputs.shape[1], c.shape[2])
            for tokens, steps in recurrence.groups():
                sums.append(multiply(inputs[:, tokens], w_x))
                for step in steps:
                    part = multiply(hs[:, step.before], w_h, add_to=sums[-1][:, step.here])
                    cells = gated[:, tokens][:, step.here]
                    recurrence.cells.forward(part, bias, cs[:, step.before], cs[:, step.after], cells)
                    state = multiply(cells, w_p) if w_p else cells
                    hs[:, step.after] = clipped(state, recurrence.proj_clip)
        ctx.recurrence, ctx.lengths, ctx.types = recurrence, lengths, types
        ctx.save_for_backward(bias, cs, gated, hs, inputs, *cast, *sums)
        return hs[:, h.shape[1] :].clone(), recurrence.last(hs), recurrence.last(cs)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, *of_results: Tensor) -> tuple[Tensor | None, ...]:
        n_factors = len(ctx.types) - 4
        bias, cs, gated, hs, inputs, *saved = ctx.saved_tensors
        matrices = _by_matrix(saved[:n_factors], ctx.lengths)
        wanted = ctx.needs_input_grad[2:]
        with torch.autocast("cpu", enabled=False):
            run = _Backward(ctx.recurrence, matrices, _by_matrix(wanted[4:], ctx.lengths), bias, cs, hs, of_results)
            of_inputs = torch.empty_like(inputs) if wanted[0] else None
            for group, sums in zip(reversed(ctx.recurrence.groups()), reversed(saved[n_factors:]), strict=True):
                run.group(group, sums, inputs, gated, of_inputs)
        of_factors = [gradient for one in run.of_matrices for gradient in one.values]
        gradients = (of_inputs, run.of_h, run.of_c, run.of_bias, *of_factors)
        cast = (None if one is None else one.to(dtype) for one, dtype in zip(gradients, ctx.types, strict=True))
        return (None, None, *cast)


class _Backward:
    """The backward pass: what a step hands to the one before it, and sums over the steps so far.

    Attributes:
        of_h: Gradients of the states before the step, and of the last states of sequences that ended before.
        of_c: Those of the memory cells.
    """

    def __init__(
        self,
        recurrence: Recurrence,
        matrices: Sequence[Factors],
        wanted: Sequence[tuple[bool, ...]],
        bias: Tensor,
        cs: Tensor,
        hs: Tensor,
        of_results: tuple[Tensor, ...],
    ) -> None:
        self.recurrence, self.matrices, self.bias, self.cs, self.hs = recurrence, matrices, bias, cs, hs
        self.of_states, self.of_h = (one.to(recurrence.dtype).contiguous().clone() for one in of_results[:2])
        self.of_c = of_results[2].contiguous().clone()
        self.of_bias = torch.zeros_like(bias)
        self.of_matrices = [FactorGradients(*pair, bias.dtype) for pair in zip(matrices, wanted, strict=True)]

    def group(self, group: Group, sums: Tensor, inputs: Tensor, gated: Tensor, of_inputs: Tensor | None) -> None:
        """Go through a group's steps backward, and add the gradients of the matrices."""
        tokens, steps = group
        of_gates, of_states = torch.empty_like(sums), self.of_states[:, tokens]
        for step in reversed(steps):
            self._step(step, sums[:, step.here], of_gates[:, step.here], of_states[:, step.here])
        before = torch.cat([self.hs[:, step.before] for step in steps], dim=1)
        w_x, w_h, w_p = self.of_matrices
        w_x.add(inputs[:, tokens], of_gates)
        w_h.add(before, of_gates)
        w_p.add(gated[:, tokens], of_states)
        if of_inputs is not None:
            of_inputs[:, tokens] = multiply_gradients(of_gates, self.matrices[0])

    def _step(self, step: Step, sums: Tensor, of_gates: Tensor, of_state: Tensor) -> None:
        recurrence, (_, w_h, w_p), running = self.recurrence, self.matrices, slice(step.size)
        of_state += self.of_h[:, running]
        if recurrence.proj_clip is not None:
            of_clipped(of_state, self.hs[:, step.after], recurrence.proj_clip)
        of_gated = multiply_gradients(of_state, w_p)
        saved = sums, self.bias, self.cs[:, step.before], self.cs[:, step.after]
        recurrence.cells.backward(saved, of_gated, self.of_c[:, running], of_gates, self.of_bias)
        self.of_h[:, running] = multiply_gradients(of_gates, w_h)


def _followed_by(states: Tensor, tokens: int) -> Tensor:
    """Allocate the states of all steps, with the starting states (G, sequences, width) first."""
    groups, first, width = states.shape
    together = states.new_empty(groups, first + tokens, width)
    together[:, :first] = states
    return together


def _by_matrix(values: Sequence[T], lengths: tuple[int, int]) -> tuple[tuple[T, ...], tuple[T, ...], tuple[T, ...]]:
    """Cut values into those of the input's, the recurrent and the projection's matrices."""
    end = sum(lengths)
    return tuple(values[: lengths[0]]), tuple(values[lengths[0] : end]), tuple(values[end:])
