"""Distillation: training of the factors so that the layers' outputs match those of the dense encoder.

It needs no labels (Hinton et al. 2015; on hidden states as in Romero et al. 2015): the loss is the squared difference
of the activations on plain text, relative to the dense encoder's, summed over the layers. Only the biLSTM is trained,
on the token vectors of its own token layer; pruned weights stay zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.options import BilmOptions
from elmo_mf.bilm.packing import Packing
from elmo_mf.bilm.weights import BilmWeights, to_dense
from elmo_mf.compression.calibration import MAX_TOKENS, batches
from elmo_mf.errors import check_finite
from elmo_mf.io.sentences import read_with_hash
from elmo_mf.progress import stage
from elmo_mf.storage.resumable import check_like, check_optimizer, checkpoint_errors, load_state, save_state

if TYPE_CHECKING:
    from elmo_mf.records.compression import Distillation

VERSION = 1
"""Version of what distillation computes; raise it when results change, so that recorded runs with it run again."""

_BATCH_TOKENS = 600
_HELD_OUT = 20  # one batch in so many is held out
_ADVICE = "try a lower learning rate or a higher rank; the last checkpoint is kept"


@dataclass(frozen=True)
class Distilled:
    """The result of a distillation.

    Attributes:
        weights: The trained weights.
        before: Relative activation error on held-out sentences before the training.
        after: The same after it.
    """

    weights: BilmWeights
    before: float
    after: float


def checkpoint_size(factored: BilmWeights) -> int:
    """Return a lower bound of a checkpoint's bytes: the biLSTM's parameters, and two moments of Adam for each."""
    parameters = (matrix.size for lstm in factored.lstms.values() for matrix in lstm.matrices.values())
    return 3 * 4 * sum(parameters)


def distill(
    dense: BilmWeights,
    factored: BilmWeights,
    options: BilmOptions,
    settings: Distillation,
    checkpoint: Path | None = None,
    checkpoint_steps: int = 100,
) -> Distilled:
    """Train `factored` towards `dense` by Adam, with a learning rate that falls to zero as a cosine.

    Args:
        dense: Weights of the dense encoder.
        factored: Weights of the factorized encoder, which may have fewer memory cells.
        options: Options of the dense encoder.
        settings: Text, steps and learning rate.
        checkpoint: File in which the state is saved now and then; a run that saved it there is resumed.
        checkpoint_steps: Number of steps between two checkpoints. Defaults to 100.

    Returns:
        The trained weights, and the activation error before and after the training.

    Raises:
        InputError: The text cannot be read, the checkpoint is damaged or belongs to another run, or the loss becomes
            NaN or infinite.
        OutputError: The checkpoint cannot be written.
    """
    run = _Run(dense, factored, options, settings)
    if checkpoint is not None:
        run.resume(checkpoint)
    before = run.first_error
    resumed = f", resumed at step {run.step} from {checkpoint}" if run.step else ""
    with stage(f"distillation{resumed}", settings.steps, "steps") as advance:
        advance(run.step)
        while run.step < settings.steps:
            loss = run.advance()
            advance(note=f"loss {loss:.4f}")
            if checkpoint is not None and (run.step % checkpoint_steps == 0 or run.step == settings.steps):
                run.save(checkpoint)
    return Distilled(run.student.weights(), before, run.held_out_error())


class _Run:
    """The student, the teacher and the optimiser."""

    def __init__(self, dense: BilmWeights, factored: BilmWeights, options: BilmOptions, settings: Distillation) -> None:
        self.settings = settings
        self.teacher = Bilm(options, dense).eval()
        self.student = Bilm(options.with_cells(factored.cells), factored).eval()
        sentences, text = read_with_hash(settings.text, MAX_TOKENS, regular=True)
        every = list(batches(sentences, _BATCH_TOKENS))
        order = np.random.default_rng(0).permutation(len(every))
        held_out = max(1, len(every) // _HELD_OUT) if len(every) > 1 else 0
        self.other_words = factored.token_layer.keys() != dense.token_layer.keys()
        self.train = [every[index] for index in order[held_out:]]
        self.held_out = [every[index] for index in order[:held_out]] or self.train
        self.parameters = list(self.student.layers.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=settings.learning_rate, fused=True)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, settings.steps)
        self.step = 0
        self.first_error = self.held_out_error()
        digest = hashlib.sha256()
        for weights in (dense, factored):
            for array in weights.token_layer.values():
                digest.update(np.ascontiguousarray(array).tobytes())
            for _, lstm in sorted(weights.lstms.items()):
                for array in (lstm.bias, *(to_dense(matrix) for matrix in lstm.matrices.values())):
                    digest.update(np.ascontiguousarray(array).tobytes())
        steps = {"steps": settings.steps, "learning_rate": settings.learning_rate}
        self.identity = {"version": VERSION, "settings": steps, "text": text, "weights": digest.hexdigest()}

    def advance(self) -> float:
        """Take one step and return its loss."""
        loss = self._loss(self._batch(self.step))
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters, 1.0)
        where = f"distillation: step {self.step + 1}"
        check_finite(f"{where}: loss", float(loss.detach()), _ADVICE)
        check_finite(f"{where}: norm of the gradients", float(norm), _ADVICE)
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        return float(loss.detach())

    def _batch(self, step: int) -> list[list[str]]:
        """The batch of a step; each round over all batches has another order."""
        around, index = divmod(step, len(self.train))
        return self.train[np.random.default_rng([1, around]).permutation(len(self.train))[index]]

    def _loss(self, batch: list[list[str]]) -> Tensor:
        return torch.stack(
            [difference.square().sum() / dense.square().sum() for difference, dense in self._differences(batch)]
        ).sum()

    def _differences(self, batch: list[list[str]]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each layer, the student's activations minus the teacher's, and the teacher's."""
        with torch.no_grad():
            ids, lengths = self.teacher.with_bounds(self.teacher.token_ids(batch))
            packing = Packing.of(lengths, ids.shape[1])
            tokens = self.teacher.token_vectors(packing.pack(ids))
            targets = self.teacher.contextualize(tokens, packing)[1:]
            if self.other_words:
                tokens = self.student.token_vectors(packing.pack(ids))
        for output, target in zip(self.student.contextualize(tokens, packing)[1:], targets, strict=True):
            yield output - target, target

    @torch.no_grad()
    def held_out_error(self) -> float:
        """Root mean square over the layers of |difference|_F / |dense|_F."""
        sums = torch.zeros(len(self.student.layers), 2, dtype=torch.float64)
        for batch in self.held_out:
            for layer, parts in enumerate(self._differences(batch)):
                sums[layer] += torch.stack([part.double().square().sum() for part in parts])
        return float((sums[:, 0] / sums[:, 1]).mean().sqrt())

    def save(self, path: Path) -> None:
        state = {
            "layers": self.student.layers.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "step": self.step,
        }
        save_state(path, self.identity, state)

    def resume(self, path: Path) -> None:
        state = load_state(path, self.identity)
        if state is None:
            return
        with checkpoint_errors(path):
            expected = {"layers": self.student.layers.state_dict(), "scheduler": self.scheduler.state_dict(), "step": 0}
            check_like({name: state[name] for name in expected}, expected, "state")
            check_optimizer(state["optimizer"], self.optimizer)
            if not 0 <= state["step"] == state["scheduler"]["last_epoch"] <= self.settings.steps:
                raise ValueError(f"step: {state['step']}")
            self.student.layers.load_state_dict(state["layers"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            self.step = int(state["step"])
