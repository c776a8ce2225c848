"""One process measures while the others wait, and none waits forever."""

from __future__ import annotations

import threading
import time
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

from elmo_mf.experiments._machine_lock import MachineLock

_CONTEXT = get_context("spawn")


def _compute(output: Path, ready: Event, stop: Event, log: Path) -> None:
    with MachineLock(output) as machine, open(log, "a", buffering=1) as file:
        ready.set()
        while not stop.is_set():
            file.write(f"{time.monotonic()}\n")
            machine.yield_to_measurement()


def _times(log: Path) -> list[float]:
    """Return the times in the complete lines of a log."""
    return [float(line) for line in log.read_text().split("\n")[:-1]] if log.exists() else []


def test_others_wait_while_one_measures(tmp_path: Path) -> None:
    ready, stop = _CONTEXT.Event(), _CONTEXT.Event()
    logs = [tmp_path / "a.log", tmp_path / "b.log"]
    others = [_CONTEXT.Process(target=_compute, args=(tmp_path, ready, stop, log)) for log in logs]
    spans = []
    try:
        for process in others:
            process.start()
        with MachineLock(tmp_path) as machine:
            while not all(map(_times, logs)):
                time.sleep(0.01)
            for _ in range(5):
                with machine.exclusive():
                    start = time.monotonic()
                    time.sleep(0.05)
                    spans.append((start, time.monotonic()))
                while not all(_times(log)[-1] > spans[-1][1] for log in logs):  # until they have resumed
                    time.sleep(0.01)
    finally:
        stop.set()
        for process in others:
            process.join(20)
    for log in logs:
        assert not [t for t in _times(log) if any(start < t < end for start, end in spans)]


def test_measurements_exclude_each_other(tmp_path: Path) -> None:
    measuring, most = [0], [0]

    def work() -> None:
        with MachineLock(tmp_path) as machine:
            for _ in range(10):
                machine.yield_to_measurement()
                with machine.exclusive():
                    measuring[0] += 1
                    most[0] = max(most[0], measuring[0])
                    time.sleep(0.002)
                    measuring[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] and not any(thread.is_alive() for thread in threads)


def test_a_paused_process_delays_no_measurement(tmp_path: Path) -> None:
    with MachineLock(tmp_path) as waiting, MachineLock(tmp_path) as machine, waiting.pause(), machine.exclusive():
        pass


def test_a_killed_process_delays_nobody(tmp_path: Path) -> None:
    ready, stop = _CONTEXT.Event(), _CONTEXT.Event()
    other = _CONTEXT.Process(target=_compute, args=(tmp_path, ready, stop, tmp_path / "log"))
    other.start()
    ready.wait(30)
    other.kill()
    other.join()
    with MachineLock(tmp_path) as machine, machine.exclusive():
        pass
