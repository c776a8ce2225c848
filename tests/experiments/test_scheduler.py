"""The order in which runs start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from elmo_mf.experiments import Report, Result
from elmo_mf.records import Measurements, Run
from tests.records.samples import measurements, record
from tests.sweeps import SweepView, TinySweep, run_here

pytestmark = pytest.mark.slow


class _Started(SweepView):
    def __init__(self) -> None:
        self.runs: list[str] = []

    def started(self, run: Run) -> None:
        self.runs.append(str(run))


def _quick(run: Run, output: Path, report: Report) -> Result[Measurements]:
    return Result(measurements(record(None, 0.4, run.seed)))


@pytest.mark.parametrize(
    ("keys", "first"),
    [
        ({"tasks": ["ptb", "sst"]}, ["ptb dense seed 13", "sst dense seed 13"]),
        ({"tasks": ["sst", "ptb", "wikitext2"]}, ["ptb dense seed 13", "wikitext2 dense seed 13"]),
        ({"tasks": ["sst"], "seeds": [1, 2]}, ["sst dense seed 1", "sst svd input+recurrent rank 2 seed 1"]),
        (
            {"tasks": ["sst"], "seeds": [1, 2], "views": ["swapped"], "precisions": ["int8"]},
            ["sst swapped dense seed 1", "sst swapped svd input+recurrent rank 2 seed 2"],
        ),
    ],
)
def test_runs_start_that_others_wait_for(
    keys: dict[str, Any], first: list[str], tiny_sweep: TinySweep, tmp_path: Path
) -> None:
    """A language model is trained once for all of its compressions, as is the model of swapped encoders."""
    view = _Started()
    run_here(tiny_sweep(**keys), tmp_path / "out", 2, view, _quick)
    assert view.runs[:2] == first
