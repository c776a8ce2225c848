"""Parts of a kind of runs: how they are executed and timed, and which versions their scores depend on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch

from elmo_mf.experiments import Workspace
from elmo_mf.records.identity import EncoderIdentity, View
from elmo_mf.records.outputs import Outputs
from elmo_mf.records.record import ActivationError, ElmoInfo, Examples, HighwayLayer, Latency, LstmMatrix, Size
from elmo_mf.records.run import Run
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import TaskConfig

Times: TypeAlias = tuple[Latency, torch.device]
"""The field `latency` of a record, and the device."""


@dataclass(frozen=True)
class MeasuredEncoder:
    """Measurements of a run's encoder: fields of `Measurements`, with the values of a baseline without one."""

    size: Size | None = None
    activation_error: ActivationError | None = None
    matrices: list[LstmMatrix] = field(default_factory=list)
    highways: list[HighwayLayer] | None = None
    factorization_seconds: float | None = None
    latency: Latency | None = None
    elmo: ElmoInfo | None = None


@dataclass(frozen=True)
class Measured:
    """Measurements of a run: fields of `Measurements`, and the following.

    Attributes:
        encoder: The fields that describe the encoder.
        outputs: What each example contributes to the scores; None where it is not kept.
        device: Device that the scores were computed on; None for the CPU.
    """

    scores: dict[str, float]
    validation: dict[str, float]
    examples: Examples
    chance: float
    encoder: MeasuredEncoder
    outputs: Outputs | None = None
    device: torch.device | None = None
    best_epoch: int = 0
    epochs: int = 0
    collapsed: bool = False
    collapsed_attempts: int = 0


@dataclass(frozen=True)
class Producer:
    """Executes the runs of one kind, and declares the versions of the code that their scores depend on.

    Attributes:
        measure: Executes a run.
        versions: Returns the versions for a task, an encoder and a view, except those of the dense encoder and the data
            format. A part that got a version after runs with it had been recorded is left out while that is 1, see
            `unless_first`. Versions that dense runs have too are named in `elmo_mf.records.identity`.
        time: Measures only the times of a run; None for runs without times.
    """

    measure: Callable[[SweepSpec, Run, Workspace], Measured]
    versions: Callable[[TaskConfig, EncoderIdentity, View], dict[str, int]]
    time: Callable[[SweepSpec, Run, Workspace], Times] | None
