"""The harness's own cost: `python -m tests.load`, and a small run of it among the tests.

A sweep of runs that do nothing, each in a process as always: milliseconds per run, early and late, and the sweep's
memory. Then `--status` and the leaderboard on many records.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from elmo_mf.cli.main import main
from elmo_mf.experiments import Outcome, Report, Result, View, run_sweep
from elmo_mf.experiments.executors import LocalExecutor
from elmo_mf.records import Measurements, Record, RecordStore, Run
from elmo_mf.tasks import PRELOAD, SweepSpec, expand
from tests.conftest import ROOT
from tests.records.samples import measurements, record, write


def _result(seed: int) -> Measurements:
    return measurements(record(None, 0.4, seed))


def nothing(run: Run, output: Path, report: Report) -> Result[Measurements]:
    """A run that is done at once."""
    return Result(_result(run.seed))


class _Clock(View[Run, Record]):
    def __init__(self) -> None:
        self.times = [time.perf_counter()]

    def done(self, outcome: Outcome[Run, Record]) -> None:
        self.times.append(time.perf_counter())


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sweep_load(runs: int, folder: Path) -> dict[str, float]:
    """Milliseconds per run in the first and the last fifth of a sweep, and the megabytes that it added."""
    spec = SweepSpec.from_file(None, tasks=["sst"], methods=[], seeds=list(range(runs)))
    expanded = expand(spec)
    _sweep(expanded[:2], folder / "warm")
    before, clock = _megabytes(), _Clock()
    _sweep(expanded, folder / "sweep", clock)
    recorded = len(RecordStore(folder / "sweep").records())
    each = [1000 * (b - a) for a, b in zip(clock.times, clock.times[1:], strict=False)]
    fifth = max(1, runs // 5)
    return {
        "runs": recorded,
        "ms_a_run_first_fifth": statistics.median(each[:fifth]),
        "ms_a_run_last_fifth": statistics.median(each[-fifth:]),
        "ms_a_run_mean": statistics.fmean(each),
        "added_megabytes": _megabytes() - before,
    }


def _sweep(runs: list[Run], output: Path, view: View[Run, Record] | None = None) -> None:
    executor: LocalExecutor[Run, Measurements] = LocalExecutor(nothing, output, 1, 1, ["elmo_mf.cli.main", *PRELOAD])
    run_sweep(runs, output, executor, RecordStore(output), view)


def status_load(records: int, folder: Path) -> dict[str, float]:
    """Seconds of `--status` on many records."""
    grid = ["--tasks", "sst", "--seeds", ",".join(map(str, range(records // 2))), "--ranks", "4"]
    spec = SweepSpec.from_file(None, tasks=["sst"], seeds=list(range(records // 2)), ranks=[4])
    store = RecordStore(folder)
    for run in expand(spec):
        store.write(run, _result(run.seed))
    measured = {"records": float(len(store.records()))}
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["sweep", *grid, "--output", str(folder), "--status"]) == 0
    assert f"{records} recorded" in printed.getvalue()
    return measured | {"status_seconds": time.perf_counter() - started}


_USED = """
import os, subprocess, sys
with subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL) as process:
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
assert process.returncode == 0
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
"""A small process that starts a command: the peak memory of a process is at least that of the one that started it."""


def leaderboard_load(records: int, folder: Path) -> dict[str, float]:
    """Processor time and peak memory of `elmo-mf leaderboard`, three seeds per encoder, and the page's size."""
    runs = ((rank, seed) for rank in range(records) for seed in (1, 2, 3))
    copies = [
        record(rank or None, 0.3 + (rank % 100) / 1000 + seed / 100, seed)
        for rank, seed in itertools.islice(runs, records)
    ]
    write(folder, copies)
    command = [sys.executable, "-m", "elmo_mf", "leaderboard", str(folder)]
    measured = subprocess.run(
        [sys.executable, "-c", _USED, *command], capture_output=True, text=True, check=True, cwd=ROOT
    )
    seconds, kilobytes = map(float, measured.stdout.split())
    return {
        "leaderboard_processor_seconds": seconds,
        "leaderboard_megabytes": kilobytes / 1024,
        "page_megabytes": (folder / "index.html").stat().st_size / 1e6,
    }


def load(runs: int, records: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        measured = sweep_load(runs, Path(folder)) | status_load(records, Path(folder) / "many")
        measured |= leaderboard_load(records, Path(folder) / "board")
    return {key: round(value, 2) for key, value in measured.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--records", type=int, default=10_000)
    arguments = parser.parse_args()
    print(json.dumps(load(arguments.runs, arguments.records), indent=2))
