from ._registry import tracker_named, tracker_names
from .tracker import Parameter, RunLog, TrackedRun, Tracker, as_parameters, register

__all__ = [
    "Parameter",
    "RunLog",
    "TrackedRun",
    "Tracker",
    "as_parameters",
    "register",
    "tracker_named",
    "tracker_names",
]
