"""Recovery after factorization: tune the factors until the layers' outputs are the dense encoder's again.

No labels: the loss is, summed over the layers, the squared difference of the activations on plain text, relative to the
dense encoder's. Only the biLSTM learns, on the words that its own character CNN gives; what was pruned stays zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from elmo_mf.bilm.characters import batch_to_ids
from elmo_mf.bilm.config import BilmOptions
from elmo_mf.bilm.encoder import Bilm
from elmo_mf.bilm.packing import Packing
from elmo_mf.bilm.weights import BilmWeights, to_dense
from elmo_mf.compression.calibration.input_covariances import MAX_TOKENS, batches
from elmo_mf.errors import check_finite
from elmo_mf.resumable import check_like, check_optimizer, checkpoint_errors, load_state, save_state
from elmo_mf.sentences import read_with_hash

if TYPE_CHECKING:
    from elmo_mf.records.compression import Distillation

_BATCH_TOKENS = 600
_HELD_OUT = 20  # of so many batches, one is never trained on
_CHECKPOINT_STEPS = 100
_ADVICE = "try a lower learning rate or a higher rank; the last checkpoint is kept"


@dataclass(frozen=True)
class Distilled:
    """The tuned weights, and the relative activation error on held-out sentences before and after."""

    weights: BilmWeights
    before: float
    after: float


def checkpoint_size(factored: BilmWeights) -> int:
    """Bytes of a checkpoint, at least: the biLSTM's parameters and the optimiser's two moments of each."""
    parameters = (matrix.size for lstm in factored.lstms.values() for matrix in lstm.matrices.values())
    return 3 * 4 * sum(parameters)


def distill(
    dense: BilmWeights,
    factored: BilmWeights,
    options: BilmOptions,
    settings: Distillation,
    checkpoint: Path | None = None,
    report: Callable[[int, float], None] = lambda step, loss: None,
    resumes: Callable[[int], None] = lambda step: None,
) -> Distilled:
    """Tune `factored` towards `dense` with Adam, the learning rate falling to zero as a cosine.

    Args:
        checkpoint: where the state is saved every 100 steps; a run that has saved one there is resumed.
        report: called with the number of steps done and the last loss.
        resumes: called with the number of steps that the checkpoint has done, if there is one.

    Raises:
        InputError: the text cannot be read, the checkpoint is damaged or belongs to another run, or the loss becomes
            NaN or infinite.
        OutputError: the checkpoint cannot be written.
    """
    run = _Run(dense, factored, options, settings)
    if checkpoint is not None:
        run.resume(checkpoint)
    if run.step:
        resumes(run.step)
    before = run.first_error
    while run.step < settings.steps:
        loss = run.advance()
        report(run.step, loss)
        if checkpoint is not None and (run.step % _CHECKPOINT_STEPS == 0 or run.step == settings.steps):
            run.save(checkpoint)
    return Distilled(run.student.weights(), before, run.held_out_error())


class _Run:
    """The student, its teacher, and the optimiser."""

    def __init__(self, dense: BilmWeights, factored: BilmWeights, options: BilmOptions, settings: Distillation) -> None:
        self.settings = settings
        self.teacher, self.student = Bilm(options, dense).eval(), Bilm(options, factored).eval()
        sentences, text = read_with_hash(settings.text, MAX_TOKENS, regular=True)
        every = list(batches(sentences, _BATCH_TOKENS))
        order = np.random.default_rng(0).permutation(len(every))
        held_out = max(1, len(every) // _HELD_OUT) if len(every) > 1 else 0
        self.other_words = factored.char_cnn.keys() != dense.char_cnn.keys()
        self.train = [every[index] for index in order[held_out:]]
        self.held_out = [every[index] for index in order[:held_out]] or self.train
        self.parameters = list(self.student.layers.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=settings.learning_rate, fused=True)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, settings.steps)
        self.step = 0
        self.first_error = self.held_out_error()
        digest = hashlib.sha256()
        for weights in (dense, factored):
            for array in weights.char_cnn.values():
                digest.update(np.ascontiguousarray(array).tobytes())
            for _, lstm in sorted(weights.lstms.items()):
                for array in (lstm.bias, *(to_dense(matrix) for matrix in lstm.matrices.values())):
                    digest.update(np.ascontiguousarray(array).tobytes())
        steps = {"steps": settings.steps, "learning_rate": settings.learning_rate}
        self.identity = {"settings": steps, "text": text, "weights": digest.hexdigest()}

    def advance(self) -> float:
        """One step; returns its loss."""
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
        """All batches in an order of each round's own."""
        around, index = divmod(step, len(self.train))
        return self.train[np.random.default_rng([1, around]).permutation(len(self.train))[index]]

    def _loss(self, batch: list[list[str]]) -> Tensor:
        return torch.stack([own.square().sum() / all_.square().sum() for own, all_ in self._differences(batch)]).sum()

    def _differences(self, batch: list[list[str]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each layer, the student's activations less the teacher's, and the teacher's."""
        with torch.no_grad():
            ids = batch_to_ids(batch, self.teacher.options.char_cnn.max_characters_per_token)
            ids, lengths = self.teacher.with_bounds(ids)
            packing = Packing.of(lengths, ids.shape[1])
            tokens = self.teacher.token_vectors(packing.pack(ids))
            wanted = self.teacher.contextualize(tokens, packing)[1:]
            if self.other_words:
                tokens = self.student.token_vectors(packing.pack(ids))
        for found, layer in zip(self.student.contextualize(tokens, packing)[1:], wanted, strict=True):
            yield found - layer, layer

    @torch.no_grad()
    def held_out_error(self) -> float:
        """|difference|_F / |dense|_F over all layers, each counting the same (root mean square)."""
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
            own = {"layers": self.student.layers.state_dict(), "scheduler": self.scheduler.state_dict(), "step": 0}
            check_like({name: state[name] for name in own}, own, "state")
            check_optimizer(state["optimizer"], self.optimizer)
            if not 0 <= state["step"] == state["scheduler"]["last_epoch"] <= self.settings.steps:
                raise ValueError(f"step: {state['step']}")
            self.student.layers.load_state_dict(state["layers"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            self.step = int(state["step"])
