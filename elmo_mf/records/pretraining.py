"""The record of a pretraining run, `pretrain.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any

from pydantic import Field

from elmo_mf.records.base_model import Data
from elmo_mf.records.record import Machine

_Perplexity = Annotated[float, Field(gt=0)]


class Epoch(Data):
    """Held-out perplexities after an epoch."""

    epoch: Annotated[int, Field(ge=1)]
    """Number of the epoch, counted from 1."""
    forward: _Perplexity
    """Perplexity of the forward direction."""
    backward: _Perplexity
    """Perplexity of the backward direction."""


@dataclass(frozen=True)
class HeldOutPerplexity:
    """Perplexities of both directions on the held-out text."""

    forward: float
    backward: float

    def __str__(self) -> str:
        return f"forward {self.forward:.1f}, backward {self.backward:.1f}"


@dataclass(frozen=True)
class StartRecord:
    """The ELMo that a run continued from.

    Attributes:
        hashes: SHA-256 of its files: `options`, `weights`, and `softmax`, `vocabulary` and `words` if it has them.
        held_out_perplexity: Perplexities before the run; None without a softmax.
    """

    hashes: Mapping[str, str]
    held_out_perplexity: HeldOutPerplexity | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        values: dict[str, Any] = {f"{name}_sha256": sha256 for name, sha256 in self.hashes.items()}
        if self.held_out_perplexity is not None:
            values["held_out_perplexity"] = asdict(self.held_out_perplexity)
        return values


@dataclass(frozen=True)
class PretrainRecord:
    """Record that `elmo-mf pretrain` writes about a run, in the order of the file.

    Attributes:
        command: The command line that repeats the run, with file names instead of paths.
        settings: `PretrainSettings` as JSON values.
        training_version: Version of the code that trained.
        held_out_unigram_perplexity: Perplexity of a unigram model of the training text.
        perplexity_by_epoch: Held-out perplexities in training, before weights were rounded to their stored type.
        vocabulary_size: Number of words of the softmax.
        train_words: Number of words of the training text.
        held_out_words: Number of words of the held-out text.
        training_seconds: Seconds that all steps took.
        train_sha256: SHA-256 of each file of training text.
        valid_sha256: SHA-256 of each file of held-out text.
        weights_sha256: SHA-256 of `weights.hdf5`.
        softmax_sha256: SHA-256 of `softmax.hdf5`.
        device: Device that the run trained on, as PyTorch names it.
        versions: Versions of Python and of packages.
        machine: The machine.
        held_out_perplexity: Perplexities of the written files.
        start: The ELMo that the run continued from; None for random weights.
    """

    command: str
    settings: dict[str, Any]
    training_version: int
    held_out_unigram_perplexity: float
    perplexity_by_epoch: list[Epoch]
    vocabulary_size: int
    train_words: int
    held_out_words: int
    training_seconds: float
    train_sha256: list[str]
    valid_sha256: list[str]
    weights_sha256: str
    softmax_sha256: str
    device: str
    versions: dict[str, str | None]
    machine: Machine
    held_out_perplexity: HeldOutPerplexity
    start: StartRecord | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of `pretrain.json`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["perplexity_by_epoch"] = [epoch.to_dict() for epoch in self.perplexity_by_epoch]
        values["machine"] = self.machine.to_dict()
        values["held_out_perplexity"] = asdict(self.held_out_perplexity)
        del values["start"]
        return values if self.start is None else values | {"start": self.start.to_dict()}
