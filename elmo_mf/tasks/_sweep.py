"""Sweeps in Python: what a sweep has to run, its execution, and its result."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from elmo_mf.compression import method_named
from elmo_mf.errors import InputError, check_installed
from elmo_mf.experiments import Outcome, View, joined, run_sweep
from elmo_mf.experiments.executors import Executor
from elmo_mf.fetch import CATALOGUES
from elmo_mf.fetch import fetch as fetch_into
from elmo_mf.io import check_folder
from elmo_mf.records import Compression, Measurements, Record, Run
from elmo_mf.records.store import RecordStore
from elmo_mf.tabular import Tabular
from elmo_mf.tasks._execution import TaskWork, local_executor
from elmo_mf.tasks._named_sweeps import sweep_file
from elmo_mf.tasks._preflight import check_needs
from elmo_mf.tasks._published_files import PublishedFiles, content_check, missing_files
from elmo_mf.tasks._status import Status, status_of
from elmo_mf.tasks._tracking import TrackedRecords
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.trackers import Tracker, tracker_named

if TYPE_CHECKING:
    import pandas as pd

    from elmo_mf.leaderboard import Leaderboard

SweepView = View[Run, Record]
SweepOutcome = Outcome[Run, Record]
Executors = Callable[[SweepSpec, list[Run], Path], Executor[Run, Measurements]]
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


class SweepKeys(TypedDict, total=False):
    """Keys of a sweep, see `SweepSpec`; paths may be `Path`s, and a list may be given as a single value."""

    include: Sequence[str | Path] | str | Path
    tasks: Sequence[str] | str
    methods: Sequence[str] | str
    targets: Sequence[str] | str
    ranks: Sequence[int] | int
    seeds: Sequence[int] | int
    compressions: Sequence[Compression] | Compression
    views: Sequence[str] | str
    baselines: Sequence[str] | str
    smaller: str | Path | None
    precisions: Sequence[str] | str
    compressed_precisions: Sequence[str] | str
    data: str | Path | None
    options: str | Path
    weights: str | Path
    preset: str
    glove: str | Path | Mapping[str, str] | None
    limit: Any
    overrides: Mapping[str, Mapping[str, Any]]
    latency_sentences: int
    latency_rounds: int
    cache_mb: int


@dataclass(frozen=True, repr=False)
class SweepResult(Tabular):
    """Runs of a sweep, shown as a table with the score of each.

    Attributes:
        output: Folder with the records.
        runs: All runs of the sweep.
        records: Records by the id of the run, of this call and of earlier ones.
        failed: Runs that failed.
    """

    output: Path
    runs: tuple[Run, ...]
    records: Mapping[str, Record]
    failed: tuple[SweepOutcome, ...]

    def leaderboard(self) -> Leaderboard:
        """Return the boards of all records in the folder, see `read_leaderboard`."""
        from elmo_mf.leaderboard import read_leaderboard

        return read_leaderboard(self.output)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each run; without a record, its numbers are missing."""
        import pandas as pd

        return pd.DataFrame([_row(run, self.records.get(run.id)) for run in self.runs])

    def notes(self) -> list[str]:
        """Return why runs failed."""
        return [f"{outcome.run}: {outcome.error}; log: {outcome.log}" for outcome in self.failed]


def _row(run: Run, record: Record | None) -> dict[str, Any]:
    timed = None if record is None or record.latency is None else record.latency.encoder["1"].speed_up
    return {
        "task": run.task,
        "view": run.identity.view,
        "encoder": run.encoder,
        "seed": run.seed,
        "metric": run.primary,
        "score": None if record is None else record.score,
        "speed_up": timed,
        "seconds": None if record is None else record.seconds,
    }


@dataclass(frozen=True)
class PlannedSweep:
    """A sweep that can be executed.

    Attributes:
        spec: The sweep.
        output: Folder for its records.
        runs: All its runs.
        status: What is recorded there, running, failed and left.
    """

    spec: SweepSpec
    output: Path
    runs: list[Run]
    status: Status

    @property
    def todo(self) -> list[Run]:
        """Runs that are not recorded, among them those that failed before."""
        recorded = {run.id for run in self.status.recorded}
        return [run for run in self.runs if run.id not in recorded]

    def execute(
        self,
        executor: Executors,
        writers: int,
        view: SweepView | None = None,
        tracker: Tracker | None = None,
        *,
        retry_failed: bool = False,
        fail_fast: bool = False,
    ) -> SweepResult:
        """Execute the runs that are not recorded.

        Args:
            executor: Returns the executor, given the sweep, the runs and the folder.
            writers: Number of runs that train on this disk at a time; 0 for none.
            view: Observer; None for none.
            tracker: Where to log records too; None for nowhere.
            retry_failed: Execute runs that failed before again. Defaults to False.
            fail_fast: End at the first failure. Defaults to False.

        Raises:
            InputError: The folder cannot be written to, or a run would fail on a file.
            OSError: The disk is full. The records written before are kept.
        """
        with writable(self.output):
            store = RecordStore(self.output)
            for line in store.set_aside(self.status.problems):
                warnings.warn(line, stacklevel=3)
            shown = view or View()
            if tracker is not None:
                shown = self._logged(store, TrackedRecords(shown, tracker, self.output))
            todo, outcomes = self.todo, list[SweepOutcome]()
            if todo:
                with joined(self.output):
                    check_needs(self.spec, todo, self.output, writers)
                    outcomes = run_sweep(
                        todo, self.output, executor(self.spec, todo, self.output), store, shown,
                        retry_failed=retry_failed, fail_fast=fail_fast,
                    )  # fmt: skip
            ids = {run.id for run in self.runs}
            records = {record.id: record for record in store.records() if record.id in ids}
        return SweepResult(self.output, tuple(self.runs), records, tuple(one for one in outcomes if one.error))

    def _logged(self, store: RecordStore, log: TrackedRecords) -> TrackedRecords:
        """Log the runs that were recorded before."""
        with joined(self.output):
            for record in filter(None, map(store.read, self.status.recorded)):
                log.log(record)
        return log


def plan_sweep(
    spec: SweepSpec, output: Path, download: Callable[[PublishedFiles], object] | None = None
) -> PlannedSweep:
    """List the runs of a sweep, and what is recorded of them.

    Args:
        spec: The sweep.
        output: Its output folder.
        download: Called with each published file that is missing. By default they are an error.

    Raises:
        InputError: A method is unknown, a compression does not fit the ELMo, or a file cannot be read.
    """
    for method in spec.methods:
        method_named(method)
    missing = missing_files(spec)
    for entry in missing if download is not None else []:
        download(entry)  # type: ignore[misc]
    from elmo_mf.tasks.grid import expand  # imports PyTorch

    try:
        runs = expand(spec)
    except InputError as error:
        if download is not None or not any(str(path) in str(error) for entry in missing for path in entry.paths):
            raise
        names = ", ".join(f"{entry.kind} {entry.name}" for entry in missing)
        raise InputError(*error.args[:-1], f"{error.problem}; fetch (--fetch) downloads {names}") from None
    return PlannedSweep(spec, output, runs, status_of(spec, runs, output))


@contextmanager
def writable(output: Path) -> Iterator[None]:
    """Convert errors of a folder that cannot be written to.

    Raises:
        InputError: The context raised such an error.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            raise InputError("output", f"found {output}, expected a folder to write to ({error.strerror})") from None
        raise


def sweep(
    file: str | Path | None = None,
    output: str | Path = "runs/sweep",
    *,
    fetch: bool = False,
    workers: int = 1,
    threads: int | None = None,
    retry_failed: bool = False,
    fail_fast: bool = False,
    view: SweepView | None = None,
    tracker: str | None = None,
    **keys: Unpack[SweepKeys],
) -> SweepResult:
    """Train, score and time every combination of task, method, targets, rank and seed, as `elmo-mf sweep` does.

    Each run leaves one record in `output/records` as soon as it is done. Runs that are recorded there are not run
    again, so that the same call resumes an interrupted sweep. Runs are executed in processes of their own, which import
    neither the script nor the notebook that calls this function: methods and tasks of your own have to be in files or
    modules that `include` names.

    Args:
        file: Sweep file (jsonnet), or the name of one that `elmo-mf sweep --list` shows. Defaults to the default values
            of all keys.
        output: Folder for the records. Defaults to `runs/sweep`.
        fetch: Whether to download missing files first. Defaults to False.
        workers: Number of runs to execute in parallel. Defaults to 1.
        threads: Threads of each run. Defaults to `OMP_NUM_THREADS`, or else an equal share of the cores.
        retry_failed: Whether to execute runs that failed before again. Defaults to False.
        fail_fast: Whether to stop at the first run that fails. Defaults to False.
        view: Observer of the progress of runs. Defaults to none.
        tracker: Experiment tracker to log records to: `tensorboard` or `mlflow`. Defaults to none.
        **keys: Keys of a sweep file, which replace those of `file`; see `SweepSpec`.

    Returns:
        The runs with their records. That runs have failed is no error: see `SweepResult.failed`.

    Raises:
        InputError: A key or a file is wrong, or `output` cannot be written to.
        OSError: The disk is full. The records written before are kept.

    Examples:
        >>> from tempfile import mkdtemp
        >>> from elmo_mf import sweep
        >>> result = sweep(output=mkdtemp(), tasks="sst-probe", ranks=[8], limit=20)
        >>> result.to_pandas()[["task", "encoder", "metric"]]
                task         encoder    metric
        0  sst-probe           dense  accuracy
        1  sst-probe  svd all rank 8  accuracy
    """
    folder = Path(output)
    check_folder("output", folder)
    check_installed("allennlp")
    path = None if file is None else sweep_file(Path(file))
    log = None if tracker is None else tracker_named(tracker, folder)
    plan = plan_sweep(SweepSpec.from_file(path, **_texts(keys)), folder, _download if fetch else None)
    return plan.execute(
        lambda spec, runs, output: local_executor(TaskWork(spec), output, workers, threads), workers, view, log,
        retry_failed=retry_failed, fail_fast=fail_fast,
    )  # fmt: skip


def _download(entry: PublishedFiles) -> None:
    fetch_into(CATALOGUES[entry.kind][entry.name], entry.folder, content_check(entry.kind, entry.name))


def _texts(value: Any) -> Any:
    """Return a value with texts in place of paths."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _texts(one) for key, one in value.items()}
    return [_texts(one) for one in value] if isinstance(value, list | tuple) else value
