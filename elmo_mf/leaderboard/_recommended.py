"""File of recommended encoders, which replaces the records of a board."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from elmo_mf.io import read_bytes
from elmo_mf.io.validation import validated_json
from elmo_mf.records.base_model import Data, Number

Aim = Literal["safe", "small", "fast"]
AIMS: tuple[Aim, ...] = get_args(Aim)
"""Criteria for choosing an encoder: the least change of the score, the fewest bytes, or the shortest times."""
_MOST_BYTES = 10_000_000


class RecommendedEncoder(Data):
    """One encoder of a board."""

    aim: Aim
    """Criterion by which it is best."""
    encoder: str
    """Name on the board."""
    result: str
    """Losses and savings, in words."""
    elsewhere: list[str] = Field(default_factory=list)
    """Losses on the other boards of the same ELMo that can recommend an encoder, in words."""
    use: str
    """Command, config or Python code that creates it."""


class BoardRecommendations(Data):
    """The recommended encoders of one board."""

    title: str
    """Title on the board."""
    encoders: list[RecommendedEncoder]
    """One for each aim, or none."""
    reason: str | None = None
    """Reason why there is none."""


class Recommendations(Data):
    """The file."""

    margin: Number
    """Largest loss treated as negligible, in points or in the unit of the metric."""
    boards: dict[str, BoardRecommendations]
    """Boards by name."""


def read_recommendations(path: Path) -> Recommendations:
    """Read a file that `elmo-mf recommend --json` wrote.

    Raises:
        InputError: The file cannot be read, or something else wrote it.
    """
    content = "a file that elmo-mf recommend --json wrote"
    raw = read_bytes(path, "file of recommended encoders", content, most=_MOST_BYTES)
    return validated_json(Recommendations, raw, str(path), content)
