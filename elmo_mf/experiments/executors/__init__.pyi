from ._cluster import RayExecutor, check_cluster, connect
from ._executor import Executor
from ._local import LocalExecutor
from ._preload import preload

__all__ = [
    "Executor",
    "LocalExecutor",
    "RayExecutor",
    "check_cluster",
    "connect",
    "preload",
]
