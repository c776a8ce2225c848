from ._bilm_run import bilm_gradients_of
from ._execution import PRELOAD, TaskWork, TimingWork, local_executor
from ._named_sweeps import named_sweeps, sweep_file
from ._portable import ray_executor
from ._preflight import check_needs
from ._published_files import PublishedFiles, absent_data, content_check, missing_files
from ._retime import RetimedRecords, picked
from ._retime_choices import check_retime
from ._stand_ins import expand_without_files
from ._status import Cost, Status, cost_of, status_of
from ._sweep import PlannedSweep, SweepResult, SweepView, plan_sweep, sweep, writable
from ._tracking import TrackedRecords
from ._trained_model import gradients_of
from .grid import expand
from .spec import SweepSpec
from .task_config import TaskConfig, load_task, task_names

__all__ = [
    "PRELOAD",
    "Cost",
    "PlannedSweep",
    "PublishedFiles",
    "RetimedRecords",
    "Status",
    "SweepResult",
    "SweepSpec",
    "SweepView",
    "TaskConfig",
    "TaskWork",
    "TimingWork",
    "TrackedRecords",
    "absent_data",
    "bilm_gradients_of",
    "check_needs",
    "check_retime",
    "content_check",
    "cost_of",
    "expand",
    "expand_without_files",
    "gradients_of",
    "load_task",
    "local_executor",
    "missing_files",
    "named_sweeps",
    "picked",
    "plan_sweep",
    "ray_executor",
    "status_of",
    "sweep",
    "sweep_file",
    "task_names",
    "writable",
]
