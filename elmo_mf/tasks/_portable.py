"""Runs of a sweep without local paths, for the machines of a cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from elmo_mf.experiments import Bundle, Report, Result, last_names
from elmo_mf.experiments.executors import RayExecutor, connect
from elmo_mf.extensions import files_to_include
from elmo_mf.records import Compression, Measurements, Run, RunIdentity
from elmo_mf.tasks._bilm_run import softmax_files
from elmo_mf.tasks._execution import TaskWork
from elmo_mf.tasks.spec import SweepSpec
from elmo_mf.tasks.task_config import load_task

_SMALLER = "smaller"  # folder of the ELMo of that baseline
_INCLUDED = "included"  # folder of the files and folders of the sweep's `include`


@dataclass(frozen=True)
class PortableRun:
    """A run whose files are named by their content (see `Bundle`); calling it executes the run.

    Attributes:
        spec: The sweep, with names in place of paths.
        identity: The run's identity.
        compression: The run's compression, with names in place of paths; None for the dense encoder.
    """

    spec: SweepSpec
    identity: RunIdentity
    compression: Compression | None

    def unpacked(self, folder: Path) -> tuple[SweepSpec, Run]:
        """Return the sweep and the run with paths to the files in `folder`."""

        def place(name: str) -> str:
            return str(folder / name)

        compression = None if self.compression is None else _renamed(self.compression, place)
        run = Run(self.identity, compression)
        data = self.spec.data and place(self.spec.data)
        words = {task: place(name) for task, name in _by_task(self.spec).items()}
        options, weights = place(self.spec.options), place(self.spec.weights)
        smaller = self.spec.smaller and place(self.spec.smaller)
        changes = {"options": options, "weights": weights, "glove": words, "data": data, "smaller": smaller}
        include = tuple(place(one) if one.startswith(f"{_INCLUDED}/") else one for one in self.spec.include)
        return self.spec.model_copy(update=changes | {"include": include}), run

    def __call__(self, folder: Path, output: Path, report: Report) -> Result[Measurements]:
        """Execute the run; see `PortableWork`."""
        spec, run = self.unpacked(folder)
        return TaskWork(spec)(run, output, report)


class PortableSweep:
    """The files of a sweep and its runs without paths.

    Data files are named `data/FOLDER/TASK/FILE`. The ends of the paths of weights and data are kept because records
    contain them.

    Args:
        spec: The sweep.
        runs: The runs to send.
        scratch: Folder for data cut to the limits of the sweep.

    Raises:
        InputError: The files are too large to send.
    """

    def __init__(self, spec: SweepSpec, runs: list[Run], scratch: Path) -> None:
        self.bundle = Bundle()
        words: dict[str, str] = {}
        for run in {run.task: run for run in runs}.values():
            self._add_data(spec, run, scratch)
        for run in runs:
            path = spec.glove_of(run.task)
            if path is not None and run.identity.words is not None:
                words[run.task] = self.bundle.add(path)
        options, weights = self.bundle.add(spec.options), self.bundle.add(spec.weights)
        with_softmax = any(run.identity.is_bilm for run in runs)
        if with_softmax:
            for file in softmax_files(spec).paths:
                self.bundle.add_as(str(Path(weights).parent / file.name), file)
        if spec.smaller is not None:
            files = spec.smaller_files()
            beside = softmax_files(spec, "smaller").paths if with_softmax else ()
            for file in (files.options, files.weights, *beside):
                self.bundle.add_as(f"{_SMALLER}/{file.name}", file)
        data = spec.data and f"data/{last_names(spec.data, 1)}"
        smaller = spec.smaller and _SMALLER
        changes = {"options": options, "weights": weights, "glove": words, "data": data, "smaller": smaller}
        include = tuple(self._add_included(number, name) for number, name in enumerate(spec.include))
        self.spec = spec.model_copy(update=changes | {"include": include, "compressions": ()})
        for run in runs:
            if run.compression is not None:
                _renamed(run.compression, self.bundle.add)
        self.bundle.check_size()

    def run(self, run: Run) -> PortableRun:
        """Return a run of the sweep without paths."""
        compression = None if run.compression is None else _renamed(run.compression, self.bundle.add)
        return PortableRun(self.spec, run.identity, compression)

    def _add_included(self, number: int, name: str) -> str:
        """Add a file or folder of the sweep's `include`, and return its new name; a module has to be there already."""
        path = Path(name)
        if not path.exists():
            return name
        below = f"{_INCLUDED}/{number}/{path.resolve().name}"
        for file in files_to_include(path):
            self.bundle.add_as(below if file == path else f"{below}/{file.relative_to(path).as_posix()}", file)
        return below

    def _add_data(self, spec: SweepSpec, run: Run, scratch: Path) -> None:
        """Add the data, cut to the limits; the receiver cuts it again without effect.

        A file that is dealt out to two splits is sent as it is, because limits count what each of them gets.
        """
        if spec.data is None:
            return
        task = load_task(run.task)
        for split, file in task.files.items():
            source, limit = spec.data_of(task) / file, spec.limit_of(task.name, split)
            if limit is not None and not (task.shares_file and split != "train"):
                task.format.cut(source, scratch / task.data_name / file, limit)
                source = scratch / task.data_name / file
            self.bundle.add_as(f"data/{last_names(spec.data, 1)}/{task.data_name}/{file}", source)


def ray_executor(
    spec: SweepSpec, runs: list[Run], address: str, cpus: float = 1, gpus: float = 0, threads: int | None = None
) -> RayExecutor[Run, Measurements]:
    """Return an executor of a sweep's runs on a Ray cluster; see `RayExecutor`.

    Args:
        spec: The sweep.
        runs: The runs, whose files are sent.
        address: Address of the cluster.
        cpus: See `RayExecutor`. Defaults to 1.
        gpus: See `RayExecutor`. Defaults to 0.
        threads: See `RayExecutor`.

    Raises:
        InputError: Ray is not installed, there is no such cluster, or the sweep's files are too large to send.
    """
    ray = connect(address)
    with tempfile.TemporaryDirectory() as scratch:
        sweep = PortableSweep(spec, runs, Path(scratch))
        return RayExecutor(ray, sweep.bundle, sweep.run, cpus, gpus, threads)


def _by_task(spec: SweepSpec) -> dict[str, str]:
    return spec.glove if isinstance(spec.glove, dict) else {}


def _renamed(compression: Compression, name: Callable[[str], str]) -> Compression:
    distill = compression.distill
    return compression.model_copy(
        update={
            "calibration": compression.calibration and name(compression.calibration),
            "gradients": compression.gradients and name(compression.gradients),
            "distill": distill and distill.model_copy(update={"text": name(distill.text)}),
        }
    )
