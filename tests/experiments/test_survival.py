"""A sweep survives kills, full disks and failing runs: each run is recorded exactly once, and nothing is lost."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from elmo_mf.experiments import Failures, Leases, Progress, Report, Result
from elmo_mf.io import OutputError
from elmo_mf.records import Measurements, Run
from elmo_mf.records.store import RecordStore
from elmo_mf.tasks import SweepSpec, TaskWork, expand
from tests.experiments.drivers import driver
from tests.records.samples import measurements, record
from tests.sweeps import SweepOutcome, SweepView, TinySweep, records_here, run_here

pytestmark = pytest.mark.slow


def _drive(spec: SweepSpec, output: Path, workers: int = 2) -> None:
    run_here(spec, output, workers)


def _quick(run: Run, output: Path, report: Report) -> Result[Measurements]:
    """Execute a run in milliseconds and append its id to `ran.txt`."""
    report(Progress("training", 0.5, 1.0))
    with open(output / "ran.txt", "a") as file:
        file.write(f"{run.id}\n")
    time.sleep(0.05)
    return Result(measurements(record(None, 0.4, run.seed)))


def _ran(output: Path) -> list[str]:
    return (output / "ran.txt").read_text().split()


def _check(spec: SweepSpec, output: Path, seen: dict[str, int]) -> None:
    """Check that all record files are valid and that those seen before are unchanged."""
    store = RecordStore(output)
    ids = {record.id for record in store.records()}
    assert store.problems == {} and ids <= {run.id for run in expand(spec)}
    inodes = {path.stem[-10:]: path.stat().st_ino for path in store.folder.glob("*.json")}
    assert len(inodes) == len(ids)
    for name, inode in seen.items():
        assert inodes[name] == inode
    seen.update(inodes)


_ONE_EPOCH = {"sst": {"trainer.num_epochs": 1}}

MOMENTS = [
    ("os.rename", "cache/encoders/*"),
    ("os.rename", "cache/data/.*.tmp/train.txt"),
    ("os.rename", "cache/data/sst-*"),
    ("os.remove", "cache/data/.*.lock"),
    ("open", "cache/activations/.*.tmp/vectors"),
    ("os.remove", "cache/activations/.*.lock"),
    ("open", "running/.*.tmp/.training.*.tmp/metrics_epoch_0.json"),
    ("os.rmdir", "running/.*.tmp"),
    ("open", "records/.*.tmp/*.json"),
    ("os.rename", "records/*.json"),
    ("os.rmdir", "records/.*.tmp"),  # left by the sweep killed before
    ("shutil.rmtree", "failed/*"),  # after a record is written
    ("os.remove", "running/*.lock"),
]
"""Changes on disk, as Python's audit event and a pattern of the path.

Every run makes them in this order, except that only compressed runs write an encoder, before which up to two dense runs
may be recorded.
"""


@dataclass(frozen=True)
class _KilledWork:
    """Work of a real run that is killed, with its sweep, before a change on disk."""

    work: TaskWork
    moment: tuple[str, str]
    sweep: int

    def __call__(self, run: Run, output: Path, report: Report) -> Result[Measurements]:
        _kill_before(self.moment, self.sweep, output)
        return self.work(run, output, report)


def _drive_until(moment: tuple[str, str], spec: SweepSpec, output: Path) -> None:
    _kill_before(moment, os.getpid(), output)
    run_here(spec, output, 2, work=_KilledWork(TaskWork(spec), moment, os.getpid()))


def _kill_before(moment: tuple[str, str], sweep: int, output: Path) -> None:
    """Kill the sweep and this process, which may be a run's, before a change on disk."""
    event, pattern = moment[0], f"{output}/{moment[1]}"

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        if name == event and any(fnmatch(str(one), pattern) for one in arguments[:2]):
            os.kill(sweep, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _delete_finished(output: Path, pattern: str) -> None:
    """Delete the folders of one kind from the cache, so that runs rebuild them."""
    if pattern.startswith("cache/"):
        for folder in (output / "cache" / pattern.split("/")[1]).glob("[!.]*"):
            shutil.rmtree(folder)


def test_kills_before_changes_of_the_disk(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """Each sweep, with real runs in two processes, resumes what the killed one before it left."""
    spec, output = tiny_sweep(seeds=[1, 2], limit=8, overrides=_ONE_EPOCH), tmp_path / "out"
    expected = [one["scores"] for one in records_here(spec, tmp_path / "expected", workers=2)]
    recorded, seen = [], dict[str, int]()
    for moment in MOMENTS:
        _delete_finished(output, moment[1])
        with driver(_drive_until, moment, spec, output) as process:
            process.join(300)
        assert process.exitcode == -signal.SIGKILL, moment
        _check(spec, output, seen)
        recorded.append(len(seen))
    *before, after_record, at_release = recorded
    assert set(before) == {after_record - 1} and after_record <= at_release < 4
    assert [one["scores"] for one in records_here(spec, output)] == expected
    assert {path.name for path in output.iterdir()} == {"records", "cache"}
    assert not [path for path in output.rglob(".*") if path.name != ".room.lock"]


def test_two_sweeps_of_one_folder(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """Of two concurrent sweeps with the same runs, each run executes once and both sweeps return all outcomes."""
    spec, output = tiny_sweep(seeds=list(range(12))), tmp_path / "out"
    output.mkdir()
    outcomes: list[list[SweepOutcome]] = []
    sweeps = [
        threading.Thread(target=lambda: outcomes.append(run_here(spec, output, 2, work=_quick))) for _ in range(2)
    ]
    for one in sweeps:
        one.start()
    for one in sweeps:
        one.join(60)
    ids = sorted(run.id for run in expand(spec))
    assert sorted(_ran(output)) == ids
    assert [sorted(o.run.id for o in ended if o.record) for ended in outcomes] == [ids, ids]


def test_a_sweep_takes_over_from_one_that_is_killed(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec, output = tiny_sweep(methods=[]), tmp_path / "out"
    with driver(_drive, spec, output, 1):
        (run,) = expand(spec)
        while (beat := Leases(output).of(run)) is None or beat.phase == "starting":
            time.sleep(0.01)
    assert len(records_here(spec, output)) == 1


def test_a_failing_run_stops_nothing(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """The first task cannot train; the second is recorded, and the log of the first is kept."""
    overrides = {"snli": {"model.encoder.input_size": 7}, "sst": {"trainer.num_epochs": 1}}
    spec, output = tiny_sweep(tasks=["snli", "sst"], overrides=overrides), tmp_path / "out"
    outcomes = run_here(spec, output)
    assert [bool(outcome.error) for outcome in outcomes] == [True, True, False, False]
    assert "\n" not in outcomes[0].error and not outcomes[0].again
    assert len(RecordStore(output).records()) == 2
    log = outcomes[0].log
    assert log is not None and "the run failed" in log.read_text() and "Traceback" in log.read_text()
    assert {path.name for path in output.iterdir()} == {"records", "cache", "failed"}


def _failing(run: Run, output: Path, report: Report) -> Result[Measurements]:
    result = _quick(run, output, report)
    return Result(error="ValueError: no", log="why") if run.seed == 1 else result


def test_failures_are_remembered(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec, output = tiny_sweep(seeds=[0, 1, 2], methods=[]), tmp_path / "out"
    output.mkdir()
    failed = expand(spec)[1]
    for runs in (3, 3):  # the second time, nothing runs
        outcomes = run_here(spec, output, work=_failing)
        assert {o.run.seed: o.error for o in outcomes} == {0: "", 1: "ValueError: no", 2: ""}
        assert len(_ran(output)) == runs
    failure = Failures(output).of(failed)
    assert failure is not None and failure.log.read_text() == "why"
    outcomes = run_here(spec, output, work=_failing, retry_failed=True)
    assert len(_ran(output)) == 4 and _ran(output)[-1] == failed.id
    outcomes = run_here(spec, output, work=_quick, retry_failed=True)
    assert not [o for o in outcomes if o.error] and Failures(output).of(failed) is None
    assert not list((output / "failed").iterdir())


def test_fail_fast(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec, output = tiny_sweep(seeds=[0, 1, 2, 3], methods=[]), tmp_path / "out"
    output.mkdir()
    outcomes = run_here(spec, output, work=_failing, fail_fast=True)
    assert [o.run.seed for o in outcomes] == [0, 1] and not (output / "running").exists()


def _killed(run: Run, output: Path, report: Report) -> Result[Measurements]:
    """Die in the first attempt at seed 1, as if the kernel killed the process for lack of memory."""
    if run.seed == 1 and not (output / "ran.txt").exists():
        folder = output / "running" / f".{run.name}-x"
        folder.mkdir()
        (folder / "out.log").write_text("until then")
        (output / "ran.txt").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return _quick(run, output, report)


def test_a_killed_run_takes_no_other_with_it_and_runs_again(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec, output = tiny_sweep(seeds=[1, 2, 3], methods=[]), tmp_path / "out"
    output.mkdir()
    outcomes = {outcome.run.seed: outcome for outcome in run_here(spec, output, work=_killed)}
    assert outcomes[2].record and outcomes[3].record
    one = outcomes[1]
    assert one.error == "its process was killed by SIGKILL, out of memory?" and one.again
    assert one.log is not None and one.log.read_text() == "until then"
    outcomes = {outcome.run.seed: outcome for outcome in run_here(spec, output, work=_killed)}
    assert outcomes[1].record and not list((output / "failed").iterdir())


def test_a_killed_sweep_leaves_no_process(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec, output = tiny_sweep(seeds=[1, 2], methods=[]), tmp_path / "out"
    with driver(_drive_for_ever, spec, output):
        while len(list(output.glob("pid-*"))) < 2:
            time.sleep(0.01)
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{path.name[4:]}").exists() for path in output.glob("pid-*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _for_ever(run: Run, output: Path, report: Report) -> Result[Measurements]:
    (output / f"pid-{os.getpid()}").touch()
    time.sleep(600)
    raise AssertionError


def _drive_for_ever(spec: SweepSpec, output: Path) -> None:
    run_here(spec, output, 2, work=_for_ever)


def _no_space(run: Run, output: Path, report: Report) -> Result[Measurements]:
    """Report a full disk for seed 2 until space is freed."""
    if run.seed == 2 and not (output / "freed").exists():
        return Result(error="OSError: No space left on device", fault="disk")
    return _quick(run, output, report)


def test_a_full_disk_ends_the_sweep_and_loses_nothing(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    spec, output = tiny_sweep(seeds=[1, 2, 3], methods=[]), tmp_path / "out"
    output.mkdir()
    with pytest.raises(OSError, match="sst dense seed 2: OSError"):
        run_here(spec, output, work=_no_space)
    assert [one.run.seed for one in RecordStore(output).records()] == [1]
    (output / "freed").touch()
    assert len(run_here(spec, output, work=_no_space)) == 3
    assert sorted(_ran(output)) == sorted(run.id for run in expand(spec))


def test_a_record_that_finds_no_room_is_no_failure_of_its_run(
    tiny_sweep: TinySweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, output = tiny_sweep(seeds=[1], methods=[]), tmp_path / "out"
    output.mkdir()

    def full(store: RecordStore, run: Run, record: object) -> None:
        raise OutputError(store.path(run), OSError(errno.ENOSPC, ""))

    with monkeypatch.context() as patch, pytest.raises(OSError, match=r"sst dense seed 1: "):
        patch.setattr(RecordStore, "write", full)
        run_here(spec, output, work=_quick)
    assert not (output / "failed").exists()
    assert [outcome.error for outcome in run_here(spec, output, work=_quick)] == [""]


@pytest.mark.parametrize("limit", [2_000, 30_000])
def test_real_runs_on_a_disk_that_takes_no_more(limit: int, tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """No file can grow beyond `limit` bytes, which gives an error like that of a disk quota."""
    spec, output = tiny_sweep(methods=[], overrides={"sst": {"trainer.num_epochs": 1}}), tmp_path / "out"
    with driver(_drive_limited, spec, output, limit) as process:
        process.join(120)
    assert process.exitcode == errno.EFBIG
    assert RecordStore(output).records().names() == [] and not (output / "failed").exists()
    assert len(records_here(spec, output)) == 1


def _drive_limited(spec: SweepSpec, output: Path, limit: int) -> None:
    try:
        run_here(spec, output, work=_LimitedWork(spec, limit))
    except OSError:
        os._exit(errno.EFBIG)


@dataclass(frozen=True)
class _LimitedWork:
    """Work of a real run in a process whose files cannot grow beyond `limit` bytes."""

    spec: SweepSpec
    limit: int

    def __call__(self, run: Run, output: Path, report: Report) -> Result[Measurements]:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, resource.RLIM_INFINITY))
        return TaskWork(self.spec)(run, output, report)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Provide a file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_full_then_grows_then_is_read_only(small_disk: Path, tmp_path: Path) -> None:
    spec = SweepSpec.from_file(None, tasks=["sst"], methods=[], limit=60, overrides=_ONE_EPOCH, latency_sentences=0)
    with pytest.raises(OSError, match="No space left on device"):
        run_here(spec, small_disk / "out")
    assert RecordStore(small_disk / "out").records().names() == []
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    assert len(records_here(spec, small_disk / "out")) == 1
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError, match="Read-only file system"):
        run_here(spec, small_disk / "out")


def test_a_folder_that_cannot_be_written_to(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    """A file in place of a folder stops root as well."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "running").touch()
    with pytest.raises(OSError):
        run_here(tiny_sweep(), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["running"]


def test_a_view_that_is_interrupted_ends_the_runs(tiny_sweep: TinySweep, tmp_path: Path) -> None:
    class Interrupted(SweepView):
        def progress(self, run: Run, progress: Progress) -> None:
            raise KeyboardInterrupt

    spec, output = tiny_sweep(methods=[]), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_here(spec, output, view=Interrupted())
    assert not (output / "running").exists() and RecordStore(output).records().names() == []
