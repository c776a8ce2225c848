"""`elmo-mf sweep`: run a grid of compressions over the tasks."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from elmo_mf.cli import _completion
from elmo_mf.cli._elmo_files import elmo_keys
from elmo_mf.cli._include_option import Include, include_all
from elmo_mf.cli._lists import integers, texts
from elmo_mf.cli._option_names import options_named
from elmo_mf.cli._output_options import Force, check_unused
from elmo_mf.cli._terminal import echo
from elmo_mf.cli._tracker_option import TrackerName
from elmo_mf.errors import InputError, check_installed
from elmo_mf.io import check_folder, check_no_file, check_output, write_json
from elmo_mf.progress import unreported

if TYPE_CHECKING:
    from elmo_mf.experiments import Heartbeat, Outcome
    from elmo_mf.experiments.executors import Executor
    from elmo_mf.records import Measurements, Record, Run
    from elmo_mf.tasks import Cost, PlannedSweep, PublishedFiles, Status, SweepSpec
    from elmo_mf.trackers import Tracker


@dataclass(frozen=True)
class GridOptions:
    """Options that replace keys of a sweep file, or are added to them as `--include` is; None keeps a key."""

    tasks: Annotated[
        str | None,
        Option(
            autocompletion=_completion.complete_some(_completion.tasks),
            help="Comma-separated, see elmo-mf tasks; default: all tasks that train a model; with --options, only "
            "those that use an ELMo.",
        ),
    ] = None
    methods: Annotated[
        str | None,
        Option(
            autocompletion=_completion.complete_some(_completion.methods),
            help="Comma-separated; svd by default; others: whitened_svd, fisher_svd, kfac_svd, semi_nmf, nmf, prune, "
            "random.",
        ),
    ] = None
    targets: Annotated[
        str | None,
        Option(
            autocompletion=_completion.complete_some(_completion.targets, ",+"),
            help="Comma-separated target sets, each joined by +; by default all, the three targets together.",
        ),
    ] = None
    ranks: Annotated[str | None, Option(help="Comma-separated; 4,16,32 by default.")] = None
    seeds: Annotated[str | None, Option(help="Comma-separated; 13 by default.")] = None
    limit: Annotated[int | None, Option(help="Maximum number of examples per split.")] = None
    data: Annotated[Path | None, Option(help="Folder with one folder per task; the tasks' demo data by default.")] = (
        None
    )
    glove: Annotated[Path | None, Option(help="Word vectors for the preset paper.")] = None
    options: Annotated[
        Path | None,
        Option(
            help="options.json of the ELMo, or a folder or zip with all its files; a small embedded ELMo by default."
        ),
    ] = None
    weights: Annotated[Path | None, Option(help="Weights of the ELMo, HDF5.")] = None
    include: Include = field(default_factory=list)

    def spec(self, file: Path | None) -> SweepSpec:
        """Read a sweep file, or take the defaults, and replace the keys whose options are given."""
        from elmo_mf.tasks import SweepSpec

        values: dict[str, Any] = {
            name: texts(f"--{name}", value) for name, value in self._lists("tasks", "methods", "targets")
        }
        least = {"ranks": 1, "seeds": 0}
        values |= {name: integers(f"--{name}", value, least[name]) for name, value in self._lists(*least)}
        values |= {name: str(path) for name in ("data", "glove") if (path := getattr(self, name))}
        values |= elmo_keys(self.options, self.weights)
        include_all(self.include)
        return SweepSpec.from_file(file, limit=self.limit, include=self.include, **values)

    def option_names(self) -> Mapping[str, str]:
        """Return the options that are given, by the keys of a sweep or of its compressions that they set."""
        keys = {"tasks": "tasks", "limit": "sweep.limit", "seeds": "sweep.seeds", "ranks": "compression.rank",
                "methods": "compression.method", "targets": "compression.targets", "data": "sweep.data",
                "glove": "sweep.glove"}  # fmt: skip
        return {key: f"--{name}" for name, key in keys.items() if getattr(self, name) is not None}

    def _lists(self, *names: str) -> Iterator[tuple[str, str]]:
        return ((name, value) for name in names if (value := getattr(self, name)) is not None)


@dataclass(frozen=True)
class ExecutorOptions:
    """Options for where runs are executed."""

    workers: Annotated[int, Option(min=1, help="Number of runs to execute in parallel, each in its own process.")] = 1
    threads: Annotated[
        int | None,
        Option(min=1, help="CPU threads of each run; by default OMP_NUM_THREADS, or an equal share of the cores."),
    ] = None
    ray: Annotated[
        str | None,
        Option(help="Address of a Ray cluster on which to execute runs, or auto. Requires the extra cluster."),
    ] = None
    cpus: Annotated[float, Option(min=0.1, help="CPUs that a run requests from a Ray cluster.")] = 1
    gpus: Annotated[float, Option(min=0, help="GPUs that a run requests from a Ray cluster.")] = 0

    @property
    def writers(self) -> int:
        """Number of runs that train on this machine's disk at a time."""
        return self.workers if self.ray is None else 0

    def executor(self, spec: SweepSpec, runs: list[Run], output: Path) -> Executor[Run, Measurements]:
        """Return the executor of a sweep's runs.

        Args:
            spec: The sweep.
            runs: Its runs.
            output: The output folder.
        """
        if self.ray is None:
            from elmo_mf.tasks import TaskWork, local_executor

            return local_executor(TaskWork(spec), output, self.workers, self.threads)
        from elmo_mf.tasks import ray_executor

        return ray_executor(spec, runs, self.ray, self.cpus, self.gpus, self.threads)


@dataclass(frozen=True)
class ModeOptions:
    """Options for which runs are executed, if any."""

    retry_failed: Annotated[bool, Option("--retry-failed", help="Run failed runs again.")] = False
    retime: Annotated[
        str | None,
        Option(
            help="Measure the times of recorded runs again and execute no other runs: stale (those measured on another "
            "machine, with other versions or another --threads) or all."
        ),
    ] = None
    fail_fast: Annotated[bool, Option("--fail-fast", help="Stop at the first run that fails.")] = False
    status: Annotated[bool, Option("--status", help="List what is recorded, running, failed and left, and stop.")] = (
        False
    )
    dry_run: Annotated[bool, Option("--dry-run", help="List the runs with an estimate of their time, and stop.")] = (
        False
    )
    json_file: Annotated[
        Path | None, Option("--json", help="With --status or --dry-run: also write the lists to this file.")
    ] = None
    force: Force = False

    def check(self, where: ExecutorOptions, tracker: str | None) -> None:
        """Reject options that contradict each other.

        Raises:
            InputError: Two options exclude each other, or the file of --json cannot be written.
        """
        if self.json_file is not None:
            if not (self.dry_run or self.status):
                raise InputError("--json requires --status or --dry-run")
            check_output("--json", self.json_file)
            check_unused([self.json_file], self.force)
        others = {
            "--workers": where.workers > 1, "--ray": where.ray, "--tracker": tracker, "--status": self.status,
            "--dry-run": self.dry_run,
        }  # fmt: skip
        for name in [name for name, given in others.items() if given and self.retime is not None]:
            raise InputError(f"--retime cannot be combined with {name}")
        if self.retime is not None:
            from elmo_mf.tasks import check_retime

            check_retime(self.retime)


def sweep(
    grid: GridOptions,
    where: ExecutorOptions,
    mode: ModeOptions,
    file: Annotated[
        Path | None,
        Argument(
            autocompletion=_completion.complete_one(_completion.sweeps),
            help="Sweep file (jsonnet), or a name that --list shows; options on the command line replace its keys.",
        ),
    ] = None,
    fetch: Annotated[
        bool, Option("--fetch", help="First download missing files of the sweep, as elmo-mf fetch does.")
    ] = False,
    output: Annotated[
        Path,
        Option("--output", "--out", help="Output folder with the records; runs that are recorded there are skipped."),
    ] = Path("runs/sweep"),
    tracker: TrackerName = None,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Print failures only.")] = False,
    list_sweeps: Annotated[bool, Option("--list", help="List the named sweeps, and stop.")] = False,
) -> None:
    """Train, score and time every combination of task, method, targets, rank and seed, and the dense encoder.

    Each run leaves one record in OUTPUT/records as soon as it is done. Runs that are recorded already are skipped, so
    that the same command resumes an interrupted sweep, and several sweeps can share a folder at the same time.
    Runs that failed are listed with their log and are not run again without --retry-failed, unless their process was
    killed, or their machine ran out of memory or disk space.

    --tracker also logs the recorded runs to an experiment tracker: tensorboard, to OUTPUT/tensorboard; or mlflow, to
    OUTPUT/mlflow.db or to the server named by MLFLOW_TRACKING_URI. Runs that are logged already are not logged again.

    Times are comparable on one machine only. --retime measures the times of recorded runs again on this machine,
    wherever they were scored: nothing is trained, and everything else in a record is kept.

    Exit status: 0 when every run is recorded, 1 when runs failed or the disk was full, 2 for bad input.

    Examples:

    \b
      elmo-mf sweep --dry-run
      elmo-mf sweep --tasks sst --ranks 4,16 --targets input,input+recurrent --output runs/sst
      elmo-mf sweep published/probes --data data --workers 2 --output leaderboard
      elmo-mf sweep demo --output runs/demo --tracker tensorboard
      elmo-mf sweep published/probes --data data --output leaderboard --status
      elmo-mf sweep published/probes --data data --output leaderboard --retime stale
      elmo-mf sweep --options options.json --weights weights.hdf5 --ranks 16,32 --seeds 1,2,3
      elmo-mf sweep paper --fetch --output runs/paper
      elmo-mf sweep --list
    """
    from elmo_mf.experiments.executors import check_cluster
    from elmo_mf.records.store import RecordStore
    from elmo_mf.tasks import named_sweeps, sweep_file

    if list_sweeps:
        for name, text in named_sweeps().items():
            echo(f"{name}: {text}")
        return
    only_report = mode.dry_run or mode.status
    with options_named(named := {name: f"--{name}" for name in ("output", "tracker", "retime", "ray")}):
        mode.check(where, tracker)
        if where.ray is not None and not only_report:
            check_cluster(where.ray)
    for folder in (output, RecordStore(output).folder):
        check_no_file("--output", folder)
    if not only_report:
        check_folder("--output", output)
    spec = grid.spec(file if file is None else sweep_file(file))
    if not only_report:
        check_installed("allennlp")
    from elmo_mf.tasks import absent_data, missing_files, plan_sweep
    from elmo_mf.trackers import tracker_named

    missing = [*missing_files(spec), *(absent_data(spec) if mode.dry_run else [])] if only_report else []
    if missing and (fetch or mode.dry_run):
        _report_without_files(spec, missing, mode)
        return
    with options_named(named), unreported() if quiet else contextlib.nullcontext():
        log = None if tracker is None else tracker_named(tracker, output)
        plan = plan_sweep(spec, output, _download if fetch and not only_report else None)
        if only_report:
            _report(plan, mode)
        elif mode.retime is not None:
            _retime(plan, where.threads, mode.retime, quiet, mode.fail_fast)
        else:
            _execute(plan, where, mode, quiet, log)


def _report(plan: PlannedSweep, mode: ModeOptions) -> None:
    """Print the status of a sweep, and with --dry-run its cost."""
    from elmo_mf.tasks import cost_of

    cost = cost_of(plan.spec, plan.status.left) if mode.dry_run else None
    _tell(plan.status, plan.runs, list_all=mode.dry_run)
    if cost is not None:
        _tell_cost(cost)
    if mode.json_file is not None:
        write_json(mode.json_file, plan.status.to_dict())


def _execute(
    plan: PlannedSweep, where: ExecutorOptions, mode: ModeOptions, quiet: bool, tracker: Tracker | None
) -> None:
    """Execute the runs that are not recorded."""
    from elmo_mf.cli._live_view import live_view
    from elmo_mf.tasks import load_task

    total, todo = len(plan.runs), len(plan.todo)
    if not quiet:
        echo(f"{total} runs, {total - todo} recorded, {todo} to run")
        if demo := [name for name in plan.spec.tasks if plan.spec.is_demo(load_task(name))]:
            echo(f"DEMO: the data of {', '.join(demo)} were written for this project; scores say nothing of real data")
    with _full_disk(plan.output), live_view(total, total - todo, quiet or not todo) as view:
        result = plan.execute(
            where.executor, where.writers, view, tracker, retry_failed=mode.retry_failed, fail_fast=mode.fail_fast
        )
    _tell_failures(result.failed, todo)


def _retime(plan: PlannedSweep, threads: int | None, choice: str, quiet: bool, fail_fast: bool) -> None:
    """Measure the times of a sweep's recorded runs again."""
    from elmo_mf.cli._live_view import live_view
    from elmo_mf.experiments import joined, run_sweep
    from elmo_mf.records.store import RecordStore
    from elmo_mf.tasks import RetimedRecords, TimingWork, check_needs, local_executor, picked, writable

    spec, status, output = plan.spec, plan.status, plan.output
    where = local_executor(TimingWork(spec), output, 1, threads)
    wanted, store = picked(choice, spec, where.threads), RecordStore(output)
    todo = [run for run in status.recorded if (record := store.read(run)) is not None and wanted(record)]
    _warn(status)
    if not quiet:
        echo(f"{len(status.recorded)} runs recorded, {len(todo)} to time again")
    if not todo:
        return
    with _full_disk(output), writable(output), joined(output):
        check_needs(spec, todo, output, 0)
        with live_view(len(todo), 0, quiet) as view:
            outcomes = run_sweep(
                todo, output, where, RetimedRecords(store, wanted), view, fail_fast=fail_fast, remember_failures=False
            )
        _tell_failures([outcome for outcome in outcomes if outcome.error], len(todo))


def _report_without_files(spec: SweepSpec, missing: Sequence[PublishedFiles], mode: ModeOptions) -> None:
    """Say what --fetch downloads, and with --dry-run which runs there will be."""
    if mode.json_file is not None:
        raise InputError(f"--json requires the sweep's files, such as those of {missing[0].folder}")
    from elmo_mf.tasks import expand_without_files, load_task

    if mode.dry_run:
        runs = expand_without_files(spec, missing)
        for run in runs:
            echo(str(run))
        echo(f"{len(runs)} runs; those that are recorded already are recognised once the files are there")
    for entry in missing:
        if entry.sources:
            echo(f"--fetch downloads {entry.kind} {entry.name} into {entry.folder}")
        else:
            (files, *_) = (task.files for task in map(load_task, spec.tasks) if spec.data_of(task) == entry.folder)
            echo(f"{entry.folder}: no such folder, expected {', '.join(files.values())}, which fetch does not download")


def _download(entry: PublishedFiles) -> None:
    from elmo_mf.cli.fetch import download_entry

    download_entry(entry.kind, entry.name, entry.folder)


@contextlib.contextmanager
def _full_disk(output: Path) -> Iterator[None]:
    """End with status 1 if the disk is full."""
    try:
        yield
    except OSError as error:
        echo(f"elmo-mf: error: {output}: {error}; records are kept, run the same command again", err=True)
        raise typer.Exit(1) from None


def _tell_failures(failed: Sequence[Outcome[Run, Record]], total: int) -> None:
    if not failed:
        return
    echo(f"{len(failed)} of {total} runs failed:", err=True)
    for outcome in failed:
        echo(f"  {outcome.run}: {outcome.error}; log: {outcome.log}", err=True)
    again = sum(outcome.again for outcome in failed)
    if again:
        echo(f"the same command runs {again} of them again", err=True)
    if again < len(failed):
        echo(f"--retry-failed runs {len(failed) - again} of them again", err=True)
    raise typer.Exit(1)


def _tell(status: Status, runs: list[Run], list_all: bool) -> None:
    """Print the running and failed runs, with `list_all` every other run too, and the counts."""
    running = {run.id: heartbeat for run, heartbeat in status.running}
    failed = {run.id: failure for run, failure in status.failed}
    recorded = {run.id for run in status.recorded}
    for run in runs:
        if run.id in running:
            echo(f"{run}  (running, {_progress(running[run.id])})")
        elif run.id in failed:
            echo(f"{run}  (failed: {failed[run.id].error}; log: {failed[run.id].log})")
        elif list_all:
            echo(f"{run}{'  (recorded)' if run.id in recorded else ''}")
    _warn(status)
    counts = f"{len(recorded)} recorded, {len(running)} running, {len(failed)} failed, {len(status.left)} to run"
    echo(f"{len(runs)} runs: {counts}")
    if running or status.left:
        echo(_estimate(status))


def _warn(status: Status) -> None:
    for problem in status.problems.values():
        echo(f"elmo-mf: warning: {problem}", err=True)


def _progress(heartbeat: Heartbeat) -> str:
    share = f" {heartbeat.share:.0%}" if heartbeat.share else ""
    return f"{heartbeat.phase}{share} on {heartbeat.host}"


def _estimate(status: Status) -> str:
    hours, minutes = divmod(math.ceil(status.seconds_left / 60), 60)
    known = f"about {hours} h {minutes:02} min with one worker, judging by earlier runs" if status.seconds_left else ""
    unknown = f"unknown for {', '.join(status.unknown)}, of which no run is recorded here yet" if status.unknown else ""
    return f"time left: {'; '.join(part for part in (known, unknown) if part)}"


def _tell_cost(cost: Cost) -> None:
    echo(
        f"cost: {cost.trainings} trainings that read at most {cost.examples:,} examples, "
        f"{cost.encoders} encoders to make"
    )
