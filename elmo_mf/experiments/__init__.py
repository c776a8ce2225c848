"""Sweep engine: executes runs of any kind, each exactly once, in local processes or on a cluster.

The caller supplies the runs (`Run`) and the function that executes one (`Work`).
"""

from __future__ import annotations

from elmo_mf.experiments.runs import Progress, Report, Result, Run, Work

__all__ = ["Progress", "Report", "Result", "Run", "Work"]
