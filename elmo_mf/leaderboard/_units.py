"""Units of scores: shares in percent and points, perplexities unchanged."""

from __future__ import annotations

from dataclasses import dataclass

from elmo_mf.errors import visible
from elmo_mf.records.identity import Scoring

_MANY = 1000


@dataclass(frozen=True)
class Unit:
    """The unit of a score.

    Attributes:
        factor: Factor that scores are multiplied by.
        digits: Number of decimals.
        title: Title of the score's column.
        name: Name of the unit of differences.
    """

    factor: int
    digits: int
    title: str
    name: str

    @classmethod
    def of(cls, scoring: Scoring) -> Unit:
        """Return the unit of the primary metric; metrics whose higher values are better are shares."""
        primary = visible(scoring.primary)
        if scoring.higher_is_better:
            return cls(100, 1, f"{primary} %", "points")
        return cls(1, 2, primary, primary)

    @classmethod
    def of_loss(cls, scoring: Scoring) -> Unit:
        """Return the unit of the loss by compression: points, or nats per word."""
        return cls(1, 3, "loss", "nats") if scoring.primary == "perplexity" else cls.of(scoring)

    @property
    def is_share(self) -> bool:
        """Whether scores are shares, whose higher values are better."""
        return self.factor == 100

    @property
    def plural(self) -> str:
        """Plural of the unit of differences, such as `points`."""
        return self.name if self.is_share else f"units of {self.name}"

    def amount(self, value: float) -> str:
        """Format a number of points, or of units of the metric."""
        return f"{value:g} {self.plural.replace('s', '', 1) if value == 1 else self.plural}"

    def text(self, value: float, more: int = 0) -> str:
        """Format a score with `more` additional decimals."""
        return self._rounded(value, more, "")

    def signed(self, value: float, more: int = 0) -> str:
        """Format a difference of scores; zero has no negative sign."""
        return self._rounded(value, more, "+")

    def _rounded(self, value: float, more: int, sign: str) -> str:
        """Round a value; perplexities in the thousands have no decimals."""
        scaled = self.factor * value
        digits = 0 if abs(scaled) >= _MANY else self.digits + more
        return f"{round(scaled, digits) + 0.0:{sign},.{digits}f}"
