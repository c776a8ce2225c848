"""Execution on a Ray cluster (the extra `cluster`), to which files are sent and from which results come back.

The machines need not share a file system: each keeps the files it received and its cache in its temporary folder. If a
machine dies, Ray executes its runs again.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from elmo_mf import __version__
from elmo_mf.errors import InputError, check_installed, one_line
from elmo_mf.experiments._attempt import ENVIRONMENT
from elmo_mf.experiments._bundle import Bundle, clear_unused, is_there, private_folder, unpack
from elmo_mf.experiments._runs import MeasuredT, Progress, Report, Result, RunT
from elmo_mf.experiments.executors._executor import Executor
from elmo_mf.io import recover
from elmo_mf.io.locks import holding

_RETRIES = 5  # of a run whose machine died

PortableWork: TypeAlias = Callable[[Path, Path, Report], Result[MeasuredT]]
"""Picklable function that executes a run, given the folder of the bundle and an output folder."""


class RayExecutor(Executor[RunT, MeasuredT]):
    """Executes runs on the machines of a Ray cluster that have free resources.

    Args:
        ray: The Ray module, connected to a cluster; see `connect`.
        bundle: The files that the runs read.
        portable: Returns the picklable work of a run.
        cpus: CPUs that each run requests.
        gpus: GPUs that each run requests.
        threads: Threads of each run; by default as many as its CPUs.
    """

    def __init__(
        self,
        ray: Any,
        bundle: Bundle,
        portable: Callable[[RunT], PortableWork[MeasuredT]],
        cpus: float = 1,
        gpus: float = 0,
        threads: int | None = None,
    ) -> None:
        self._ray, self._portable = ray, portable
        self._cpus, self._gpus = cpus, gpus
        folder = bundle.id[:32]
        files = {n: (sha256, ray.put(bundle.paths[n].read_bytes())) for n, sha256 in bundle.hashes.items()}
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        actor: Any = ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=here)(_LatestProgress)
        self._latest_progress = latest = actor.remote()
        requests = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": _RETRIES}
        remote = ray.remote(**requests, runtime_env={"env_vars": ENVIRONMENT})(_execute)
        self._start: Callable[[RunT], Any] = lambda run: remote.remote(
            __version__, portable(run), run.id, folder, files, latest, threads or max(1, int(cpus))
        )
        self._running: dict[Any, RunT] = {}

    @property
    def capacity(self) -> int:
        """Number of runs that the cluster has room for, plus one, so that no machine waits for this process."""
        resources = self._ray.cluster_resources()
        places = [resources.get("CPU", 0) / self._cpus] if self._cpus else []
        places += [resources.get("GPU", 0) / self._gpus] if self._gpus else []
        return int(min(places, default=1)) + 1

    def start(self, run: RunT) -> None:
        """Start a run."""
        self._running[self._start(run)] = run

    def events(self, timeout: float) -> Iterator[tuple[RunT, Progress | Result[MeasuredT]]]:
        """See `Executor.events`."""
        done, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=timeout)
        runs = {run.id: run for run in self._running.values()}
        for identity, progress in self._progress().items():
            if identity in runs:
                yield runs[identity], progress
        for reference in done:
            run = self._running.pop(reference)
            try:
                result: Result[MeasuredT] = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                fault = "" if isinstance(error, self._ray.exceptions.RayTaskError) else "killed"
                result = Result(error=one_line(error, 300), fault=fault)
            yield run, result

    def _progress(self) -> dict[str, Progress]:
        try:
            return dict(self._ray.get(self._latest_progress.take.remote()))
        except self._ray.exceptions.RayError:  # the actor died and restarts; results do not depend on it
            return {}

    def stop(self) -> None:
        """End the runs in progress and disconnect."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        self._ray.shutdown()


class _LatestProgress:
    """Ray actor with the latest progress of each run, which the executor fetches."""

    def __init__(self) -> None:
        self.latest: dict[str, Progress] = {}

    def put(self, run_id: str, progress: Progress) -> None:
        self.latest[run_id] = progress

    def take(self) -> dict[str, Progress]:
        taken, self.latest = self.latest, {}
        return taken


def connect(address: str = "auto") -> Any:
    """Connect to a Ray cluster.

    Args:
        address: Address of the cluster; `auto` finds the one that this machine belongs to.

    Returns:
        The Ray module.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    check_cluster(address)
    import ray
    import ray.util.scheduling_strategies

    with _reached(address):
        ray.init(address=address, log_to_driver=False, configure_logging=False, ignore_reinit_error=True)
    return ray


def check_cluster(address: str) -> None:
    """Check before the work that Ray is installed, and that a machine answers at the address of a cluster.

    Args:
        address: See `connect`.

    Raises:
        InputError: Ray is not installed, or nothing answers.
    """
    check_installed("ray")
    if ":" in address:  # Ray itself would retry for minutes
        with _reached(address):
            host, port = address.split("://")[-1].rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=10).close()


@contextmanager
def _reached(address: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError("ray", f"found no cluster at {address} ({one_line(error)})") from None


def _execute(
    version: str,
    work: PortableWork[Any],
    run_id: str,
    name: str,
    files: dict[str, tuple[str, Any]],
    latest: Any,
    threads: int,
) -> Result[Any]:
    """Execute a run on a machine of the cluster, after fetching the files that are not there yet."""
    import ray
    import torch
    from threadpoolctl import threadpool_limits

    if version != __version__:
        return Result(error=f"found elmo-mf {__version__} on the cluster, expected {version}")
    try:
        private = private_folder(Path(tempfile.gettempdir()) / f"elmo-mf-{os.getuid()}")
        clear_unused(private)
        folder = private / name
        with holding(folder / ".use", shared=True):
            os.utime(folder / ".use")
            for file, (sha256, reference) in files.items():
                if not is_there(folder, file, sha256):
                    unpack(folder, file, ray.get(reference))
            recover(folder / "work" / "running")
            torch.set_num_threads(threads)
            with threadpool_limits(threads):
                return work(folder, folder / "work", lambda progress: latest.put.remote(run_id, progress))
    except InputError as error:
        return Result(error=str(error))
