"""The work that executors do for a task's runs: training and scoring, or only timing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from elmo_mf.compression import method_hash
from elmo_mf.errors import InputError
from elmo_mf.experiments import MeasuredT, Report, Result, Work, Workspace, attempt
from elmo_mf.experiments.executors import LocalExecutor
from elmo_mf.extensions import include
from elmo_mf.records import Measurements, Retimed, Run
from elmo_mf.tasks.spec import SweepSpec

PRELOAD = ("elmo_mf.tasks._run_imports",)
"""Modules that the server of `LocalExecutor` imports for the runs of tasks."""


@dataclass(frozen=True)
class _SpecWork(ABC, Generic[MeasuredT]):
    """Work that a sweep's runs have in common.

    Attributes:
        spec: The sweep.
    """

    spec: SweepSpec

    def __call__(self, run: Run, output: Path, report: Report) -> Result[MeasuredT]:
        """Execute a run with scratch and cache below `output`."""
        return attempt(self._included, run, output, report, int(self.spec.cache_mb * 1e6))

    def _included(self, run: Run, workspace: Workspace) -> MeasuredT:
        include(self.spec.include)
        compression = run.compression
        if compression is not None and method_hash(compression.method) != run.identity.method_file:
            expected = "the one that the sweep started with; start it again"
            raise InputError("compression.method", f"found another file of {compression.method}, expected {expected}")
        return self._execute(run, workspace)

    @abstractmethod
    def _execute(self, run: Run, workspace: Workspace) -> MeasuredT: ...


class TaskWork(_SpecWork[Measurements]):
    """Trains, scores and times the runs of a sweep."""

    def _execute(self, run: Run, workspace: Workspace) -> Measurements:
        from elmo_mf.tasks._measurement import execute

        return execute(self.spec, run, workspace)


class TimingWork(_SpecWork[Retimed]):
    """Times the runs of a sweep without scoring them."""

    def _execute(self, run: Run, workspace: Workspace) -> Retimed:
        from elmo_mf.tasks._measurement import measure_times

        return measure_times(self.spec, run, workspace)


def local_executor(
    work: Work[MeasuredT],
    output: Path,
    workers: int = 1,
    threads: int | None = None,
) -> LocalExecutor[Run, MeasuredT]:
    """Return an executor of a sweep's runs in processes of this machine; see `LocalExecutor`.

    Args:
        work: `TaskWork` or `TimingWork`.
        output: Output folder of the sweep.
        workers: Number of processes.
        threads: Threads of each process; by default the processes share the cores.
    """
    return LocalExecutor(work, output, workers, threads, PRELOAD)
