"""What is trained after factorization: an ELMo's factors on plain text, or a language model on its own."""

from __future__ import annotations

from dataclasses import dataclass

from elmo_mf.compression.checks import check_above_zero
from elmo_mf.errors import InputError
from elmo_mf.paths import expanded


@dataclass(frozen=True)
class Distillation:
    """Tune the factors after factorization, see `distill.py`.

    Attributes:
        text: tokenised, one sentence a line.
        steps: of the optimiser.
        learning_rate: at most.
    """

    text: str
    steps: int = 1000
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text:
            raise InputError(f"compression.distill.text: found {self.text!r}, expected the path of a text file")
        object.__setattr__(self, "text", expanded(self.text))
        if type(self.steps) is not int or self.steps < 1:
            raise InputError(f"compression.distill.steps: found {self.steps!r}, expected an integer from 1 on")
        check_above_zero("compression.distill.learning_rate", self.learning_rate)


@dataclass(frozen=True)
class FineTuning:
    """Train a compressed language model on its own text again, by Adam with a learning rate that falls to zero.

    Attributes:
        epochs: passes over the text.
        learning_rate: at most.
    """

    epochs: int = 1
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if type(self.epochs) is not int or self.epochs < 1:
            raise InputError(f"compression.finetune.epochs: found {self.epochs!r}, expected an integer from 1 on")
        check_above_zero("compression.finetune.learning_rate", self.learning_rate)

    def __str__(self) -> str:
        rate = "" if self.learning_rate == FineTuning.learning_rate else f" at {self.learning_rate:g}"
        return f"fine-tuned {self.epochs}{rate}"
