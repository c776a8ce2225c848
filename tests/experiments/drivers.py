"""Sweeps in processes of their own, which a test can kill.

Each forks its runs from the test's own server, because starting one takes longer than the runs of these tests do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from typing import Any

from elmo_mf.experiments.executors.local import CONTEXT, start_server
from elmo_mf.tasks.execution import PRELOAD


@contextlib.contextmanager
def driver(drive: Callable[..., None], *arguments: Any) -> Iterator[ForkServerProcess]:
    """Run `drive` in a process, which is killed at the end if it has not ended."""
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
