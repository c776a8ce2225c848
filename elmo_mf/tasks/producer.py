"""What a kind of runs consists of: how they are executed and timed, and which versions their scores depend on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from elmo_mf.experiments.workspace import Workspace
from elmo_mf.records.identity import EncoderIdentity, View
from elmo_mf.records.outputs import Outputs
from elmo_mf.records.run import Run
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import TaskConfig

Measured: TypeAlias = tuple[dict[str, Any], Outputs | None, torch.device]
"""Record fields, the outputs if the runs have any, and the device."""
Times: TypeAlias = tuple[dict[str, Any], torch.device]
"""The field `latency` of a record, and the device."""


@dataclass(frozen=True)
class Producer:
    """Executes the runs of one kind, and declares the versions of the code that their scores depend on.

    Attributes:
        measure: Executes a run.
        versions: Returns the versions for a task, an encoder and a view, except those of the dense encoder and the data
            format. A part that got a version after runs with it had been recorded is left out while that is 1, see
            `unless_first`. What dense runs have too has a name in `elmo_mf.records.identity`.
        time: Measures only the times of a run; None for runs without times.
    """

    measure: Callable[[SweepSpec, Run, Workspace], Measured]
    versions: Callable[[TaskConfig, EncoderIdentity, View], dict[str, int]]
    time: Callable[[SweepSpec, Run, Workspace], Times] | None
