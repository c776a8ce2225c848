"""Runs on a Ray cluster (the extra `cluster`): weights and data travel with them, records come back.

No file system need be shared: each machine keeps what it was sent, and its cache, in its temporary folder. Ray runs the
runs again that a dying machine took with it.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from elmo_mf import __version__
from elmo_mf.errors import InputError, one_line
from elmo_mf.experiments.attempt import ENVIRONMENT, Attempt, Result, attempt
from elmo_mf.experiments.bundle import Files, Order, clear_unused, is_there, own_folder, unpack
from elmo_mf.experiments.workspace import Progress
from elmo_mf.io import recover
from elmo_mf.io.locks import holding
from elmo_mf.tasks.grid import Run
from elmo_mf.tasks.spec import SweepSpec

_RETRIES = 5  # of a run whose machine died


class RayExecutor:
    """Runs runs where a Ray cluster has room for them.

    Args:
        address: of the cluster; `auto` finds the one that this machine belongs to.
        cpus: what each run asks for.
        gpus: what each run asks for.
        threads: of each run; its CPUs by default.
        work: what to do with a run.

    Raises:
        InputError: Ray is not installed, there is no such cluster, or the sweep's files are too large to send.
    """

    def __init__(
        self,
        spec: SweepSpec,
        runs: list[Run],
        output: Path,
        address: str = "auto",
        cpus: float = 1,
        gpus: float = 0,
        threads: int | None = None,
        work: Attempt = attempt,
    ) -> None:
        self._ray = _connected(address)
        self._cpus, self._gpus = cpus, gpus
        with tempfile.TemporaryDirectory() as scratch:
            files = Files(spec, runs, Path(scratch))
            self._folder = files.id[:32]
            hashes = files.hashes
            self._files = {n: (hashes[n], self._ray.put(path.read_bytes())) for n, path in files.paths.items()}
        self._bundle = files
        here = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self._ray.get_runtime_context().get_node_id(), soft=False
        )
        actor: Any = self._ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=here)(_News)
        self._news: Any = actor.remote()
        asked = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": _RETRIES}
        remote = self._ray.remote(**asked, runtime_env={"env_vars": ENVIRONMENT})(_run_there)
        self._start: Callable[[Order], Any] = lambda order: remote.remote(
            __version__, order, self._folder, self._files, self._news, work, threads or max(1, int(cpus))
        )
        self._running: dict[Any, Run] = {}

    @property
    def slots(self) -> int:
        """As many runs as the cluster has room for, and one more, so that no place waits for us."""
        resources = self._ray.cluster_resources()
        places = [resources.get("CPU", 0) / self._cpus] if self._cpus else []
        places += [resources.get("GPU", 0) / self._gpus] if self._gpus else []
        return int(min(places, default=1)) + 1

    def start(self, run: Run) -> None:
        self._running[self._start(Order.of(self._bundle.spec, run, self._bundle))] = run

    def events(self, timeout: float) -> Iterator[tuple[Run, Progress | Result]]:
        done, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=timeout)
        runs = {run.id: run for run in self._running.values()}
        for identity, progress in self._latest().items():
            if identity in runs:
                yield runs[identity], progress
        for reference in done:
            run = self._running.pop(reference)
            try:
                result: Result = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                fault = "" if isinstance(error, self._ray.exceptions.RayTaskError) else "killed"
                result = Result(error=one_line(error, 300), fault=fault)
            yield run, result

    def _latest(self) -> dict[str, Progress]:
        try:
            return dict(self._ray.get(self._news.take.remote()))
        except self._ray.exceptions.RayError:  # it died, and starts again; the runs matter, not their bars
            return {}

    def stop(self) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        self._ray.shutdown()


class _News:
    """The latest of each run that is under way, for the sweep to fetch."""

    def __init__(self) -> None:
        self.latest: dict[str, Progress] = {}

    def put(self, run: str, progress: Progress) -> None:
        self.latest[run] = progress

    def take(self) -> dict[str, Progress]:
        taken, self.latest = self.latest, {}
        return taken


def _connected(address: str) -> Any:
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError:
        raise InputError("--ray: found no Ray, expected it installed: pip install elmo-mf[cluster]") from None
    try:
        if ":" in address:  # Ray itself would try for minutes
            host, port = address.split("://")[-1].rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, log_to_driver=False, configure_logging=False, ignore_reinit_error=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"--ray: found no cluster at {address} ({one_line(error)})") from None
    return ray


def _run_there(
    version: str, order: Order, name: str, files: dict[str, tuple[str, Any]], news: Any, work: Attempt, threads: int
) -> Result:
    """On a machine of the cluster: fetch the files that are not there yet, and execute the run."""
    import ray
    import torch
    from threadpoolctl import threadpool_limits

    if version != __version__:
        return Result(error=f"found elmo-mf {__version__} on the cluster, expected {version}")
    try:
        own = own_folder(Path(tempfile.gettempdir()) / f"elmo-mf-{os.getuid()}")
        clear_unused(own)
        folder = own / name
        with holding(folder / ".use", shared=True):
            os.utime(folder / ".use")
            for file, (sha256, reference) in files.items():
                if not is_there(folder, file, sha256):
                    unpack(folder, file, ray.get(reference))
            recover(folder / "work" / "running")
            spec, run = order.unpacked(folder)
            torch.set_num_threads(threads)
            with threadpool_limits(threads):
                return work(spec, run, folder / "work", lambda progress: news.put.remote(run.id, progress))
    except InputError as error:
        return Result(error=str(error))
