"""The sweep engine: runs of any kind, each executed exactly once, in processes here or on a cluster.

It knows a run only as `Run` and what executes one only as `Work`, both of which its caller supplies.
"""

from __future__ import annotations

from elmo_mf.experiments.runs import Progress, Report, Result, Run, Work

__all__ = ["Progress", "Report", "Result", "Run", "Work"]
