"""What a sweep's executors execute: a task's run, trained and scored or only timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elmo_mf.experiments.attempt import attempt
from elmo_mf.experiments.executors.local import LocalExecutor
from elmo_mf.experiments.runs import Report, Result
from elmo_mf.experiments.workspace import Workspace
from elmo_mf.tasks.grid import Run
from elmo_mf.tasks.spec import SweepSpec

PRELOAD = ("elmo_mf.tasks.run_imports",)
"""Modules that the server of `LocalExecutor` imports for the runs of tasks."""


@dataclass(frozen=True)
class TaskWork:
    """The work of the runs of a sweep.

    Attributes:
        spec: the sweep.
        times_only: whether only times are measured, see `measure_times`.
    """

    spec: SweepSpec
    times_only: bool = False

    def __call__(self, run: Run, output: Path, report: Report) -> Result[dict[str, Any]]:
        """Execute a run with scratch and cache below `output`."""
        return attempt(self._execute, run, output, report, int(self.spec.cache_mb * 1e6))

    def _execute(self, run: Run, workspace: Workspace) -> dict[str, Any]:
        from elmo_mf.tasks.elmo_run import execute, measure_times  # imports AllenNLP, which takes seconds

        return (measure_times if self.times_only else execute)(self.spec, run, workspace)


def local_executor(
    spec: SweepSpec,
    output: Path,
    workers: int = 1,
    threads: int | None = None,
    *,
    times_only: bool = False,
    preload: Sequence[str] = PRELOAD,
) -> LocalExecutor[Run, dict[str, Any]]:
    """Return an executor of a sweep's runs in processes of this machine; see `LocalExecutor` and `TaskWork`."""
    return LocalExecutor(TaskWork(spec, times_only), output, workers, threads, preload)
