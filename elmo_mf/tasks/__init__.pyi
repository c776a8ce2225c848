from ._bilm_run import own_gradients_of
from ._execution import PRELOAD, TaskWork, TimingWork, local_executor
from ._portable import ray_executor
from ._preflight import check_needs
from ._published_files import content_check, missing_files
from ._retime import RetimedRecords, picked
from ._status import Status, cost_of, status_of
from ._tracking import TrackedRecords
from ._trained_model import gradients_of
from .grid import expand
from .spec import SweepSpec
from .task_config import TaskConfig, load_task, task_names

__all__ = [
    "PRELOAD",
    "RetimedRecords",
    "Status",
    "SweepSpec",
    "TaskConfig",
    "TaskWork",
    "TimingWork",
    "TrackedRecords",
    "check_needs",
    "content_check",
    "cost_of",
    "expand",
    "gradients_of",
    "load_task",
    "local_executor",
    "missing_files",
    "own_gradients_of",
    "picked",
    "ray_executor",
    "status_of",
    "task_names",
]
