"""How scores of a task are written: shares in percent and points, perplexities as they are."""

from __future__ import annotations

from dataclasses import dataclass

from elmo_mf.tasks.config import Task


@dataclass(frozen=True)
class Unit:
    """What a score is multiplied with, its digits, the title of its column, and what differences are called."""

    factor: int
    digits: int
    title: str
    name: str

    @classmethod
    def of(cls, task: Task) -> Unit:
        """Of a task's primary metric: those that should be high are shares."""
        if task.metrics[task.primary] == "higher":
            return cls(100, 1, f"{task.primary} %", "points")
        return cls(1, 2, task.primary, task.primary)

    @classmethod
    def of_loss(cls, task: Task) -> Unit:
        """Of what compression costs: points, or nats a word."""
        own = cls.of(task)
        return cls(1, 3, "loss", "nats") if task.primary == "perplexity" else own

    def text(self, value: float, more: int = 0) -> str:
        """A score, with so many digits more."""
        return f"{self.factor * value:.{self.digits + more}f}"

    def signed(self, value: float, more: int = 0) -> str:
        """A difference of scores."""
        digits = self.digits + more
        return f"{round(self.factor * value, digits) + 0.0:+.{digits}f}"  # which has no negative zero
