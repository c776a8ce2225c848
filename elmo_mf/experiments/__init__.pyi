from ._attempt import attempt
from ._bundle import Bundle, last_names
from ._cache import MAX_JSON_BYTES
from ._failures import Failure, Failures
from ._leases import Heartbeat, Leases
from ._runs import MeasuredT, Progress, Report, Result, Run, Work
from ._scheduler import Outcome, View, joined, run_sweep
from ._workspace import Workspace, workspace

__all__ = [
    "MAX_JSON_BYTES",
    "Bundle",
    "Failure",
    "Failures",
    "Heartbeat",
    "Leases",
    "MeasuredT",
    "Outcome",
    "Progress",
    "Report",
    "Result",
    "Run",
    "View",
    "Work",
    "Workspace",
    "attempt",
    "joined",
    "last_names",
    "run_sweep",
    "workspace",
]
