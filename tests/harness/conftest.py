"""A sweep of seconds: tiny ELMo, a few examples, two epochs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elmo_mf.harness.grid import SweepSpec
from elmo_mf.harness.task import task_names
from tests.conftest import small_data

TinySweep = Callable[..., SweepSpec]


@pytest.fixture
def tiny_sweep(elmo_files: Callable[..., tuple[Path, Path]], tmp_path: Path) -> TinySweep:
    """Make a specification; keys replace the defaults."""
    options, weights = elmo_files()
    for task in task_names():
        small_data(task, tmp_path / "data" / task, 40)

    def make(**keys: Any) -> SweepSpec:
        defaults: dict[str, Any] = {
            "tasks": ["sst"],
            "targets": ["input+recurrent"],
            "ranks": [2],
            "data": str(tmp_path / "data"),
            "options": str(options),
            "weights": str(weights),
            "overrides": {task: {"trainer.num_epochs": 2} for task in task_names()},
            "latency_sentences": 2,
            "latency_rounds": 1,
        }
        return SweepSpec.from_file(None, **(defaults | keys))

    return make
