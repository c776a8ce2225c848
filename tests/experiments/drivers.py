"""Sweeps in separate processes, which a test can kill.

Each forks its runs from the test's fork server, because starting another one takes longer than these runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from typing import Any

from elmo_mf.experiments.executors._local import CONTEXT, start_server
from elmo_mf.tasks import PRELOAD


@contextlib.contextmanager
def driver(drive: Callable[..., None], *arguments: Any) -> Iterator[ForkServerProcess]:
    """Run `drive` in a process, which is killed at the end of the context if it is still alive."""
    start_server(PRELOAD)
    address = forkserver._forkserver._forkserver_address  # type: ignore[attr-defined]
    process = CONTEXT.Process(target=_with_server, args=(address, drive, *arguments))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _with_server(address: str, drive: Callable[..., None], *arguments: Any) -> None:
    server: Any = forkserver._forkserver
    server._forkserver_address, server.ensure_running = address, lambda: None
    drive(*arguments)
